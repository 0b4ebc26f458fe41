#include "pipeline/quantize.h"

#include <unistd.h>

#include <algorithm>
#include <set>

#include "base/json.h"
#include "base/text.h"
#include "checkpoint/tensor_store.h"
#include "hub/file_tree.h"
#include "models/stored_weights.h"
#include "pipeline/model_weights.h"

namespace fluxq {
namespace {

namespace fs = std::filesystem;

void make_folder(const fs::path& path) {
  std::error_code error;
  if (fs::create_directory(path, error)) return;
  fail_errno(fmt::format("cannot create folder {}", path.string()), error ? error.value() : EEXIST);
}

uint64_t bytes_of(const fs::path& file) {
  std::error_code error;
  const uint64_t bytes = fs::file_size(file, error);
  if (error) fail_errno(fmt::format("cannot examine {}", file.string()), error.value());
  return bytes;
}

/// The new folder under a temporary name beside its own, removed unless it is published.
class NewFolder {
 public:
  explicit NewFolder(const fs::path& path) : path_(path) {
    refuse_existing();
    const std::string name = fmt::format(".{}.{}.tmp", path.filename().string(), ::getpid());
    fs::path wanted = path.parent_path() / name;
    make_folder(wanted);
    temporary_ = std::move(wanted);
  }
  ~NewFolder() {
    if (temporary_.empty()) return;
    try {
      remove_tree(temporary_, CancelToken());
    } catch (const std::exception&) {
      // Not even memory for that: what was to be said is on its way already.
    }
  }
  NewFolder(const NewFolder&) = delete;
  NewFolder& operator=(const NewFolder&) = delete;

  const fs::path& path() const { return temporary_; }

  void publish() {
    refuse_existing();
    std::error_code error;
    fs::rename(temporary_, path_, error);
    if (error) fail_errno(fmt::format("cannot create folder {}", path_.string()), error.value());
    temporary_.clear();
    flush_folder(path_.parent_path());
  }

 private:
  void refuse_existing() const {
    std::error_code error;
    if (fs::symlink_status(path_, error).type() != fs::file_type::not_found)
      fail(ErrorCode::bad_argument, "the output {} exists: expected a new folder", path_.string());
  }

  fs::path path_, temporary_;
};

/// What becomes of one tensor of a part.
struct Planned {
  const Scheme* scheme = nullptr;  // null: stays as it is
  int64_t out = 0, in = 0;
  std::string layer;  // in the checkpoint
};

struct Part {
  std::string name;
  TensorStore store;
  std::map<std::string, Planned> weights;  // by tensor name, packed ones only
  std::vector<LayerCoverage> layers;
};

Part plan_part(const ModelFolder& model, const std::string& name, const WeightPlan& plan,
               const Recipe& recipe, Progress& progress) {
  Part part{name, TensorStore(model.path / name), {}, {}};
  if (has_stored_weights(part.store.metadata()))
    fail(ErrorCode::bad_argument, "{}: expected a model with plain weights, got packed ones",
         part.store.path().string());
  check_expected(part.store, plan.expected());
  for (const std::string& warning : part.store.warnings()) progress.warn(warning);
  for (const WeightPlan::Entry& entry : plan.entries()) {
    if (entry.kind != WeightPlan::Entry::Kind::linear) continue;
    const int64_t out = entry.shape[0], in = entry.shape[1];
    const std::string layer = fmt::format("{}.{}", name, entry.name);
    const Recipe::Choice choice = choose_scheme(recipe, layer, out, in);
    const bool packed = is_packed(*choice.scheme);
    const std::string weight = entry.name + ".weight";
    if (packed) part.weights[weight] = {choice.scheme, out, in, entry.name};
    LayerCoverage coverage;
    coverage.layer = layer;
    coverage.scheme = choice.scheme->info().name;
    coverage.reason = choice.reason;
    coverage.out = out;
    coverage.in = in;
    coverage.packed_bytes = packed ? layout_bytes(*choice.scheme, out, in)
                                   : static_cast<int64_t>(part.store.find(weight)->bytes);
    part.layers.push_back(std::move(coverage));
  }
  return part;
}

/// Writes the packed part's files and returns their bytes.
int64_t write_part(const Part& part, const Recipe& recipe, const fs::path& folder,
                   uint64_t max_shard_bytes, Progress& progress, const CancelToken& cancel) {
  std::vector<TensorSpec> specs;
  StoredWeights stored;
  for (const std::string& name : part.store.names()) {
    const auto found = part.weights.find(name);
    if (found == part.weights.end()) {
      const TensorEntry& entry = *part.store.find(name);
      specs.push_back({name, entry.dtype, entry.shape});
      stored.add_plain(name);
      continue;
    }
    const Planned& planned = found->second;
    for (PartSpec& spec : planned.scheme->layout(planned.out, planned.in))
      specs.push_back(
          {part_tensor_name(planned.layer, spec.name), spec.dtype, std::move(spec.shape)});
    stored.add_weight(planned.layer, *planned.scheme, planned.out, planned.in);
  }
  Metadata metadata = stored.metadata();
  metadata["format"] = "pt";
  const bool diffusers = part.name == "transformer" || part.name == "vae";
  PartWriter writer(folder, diffusers ? "diffusion_pytorch_model" : "model", specs, metadata,
                    max_shard_bytes);

  int64_t done = 0;
  progress.begin(fmt::format("quantize {}", part.name),
                 static_cast<int64_t>(part.store.tensor_count()));
  for (const std::string& name : part.store.names()) {
    cancel.check();
    const Tensor tensor = part.store.read(name, cancel);
    const auto found = part.weights.find(name);
    if (found == part.weights.end()) {
      writer.write(name, tensor);
    } else {
      const Planned& planned = found->second;
      const PackedWeight packed =
          planned.scheme->pack(tensor, fmt::format("{}.{}", part.name, name));
      const std::vector<PartSpec> layout = planned.scheme->layout(planned.out, planned.in);
      for (size_t i = 0; i < layout.size(); ++i)
        writer.write(part_tensor_name(planned.layer, layout[i].name), packed.parts[i]);
    }
    progress.update(++done);
  }
  int64_t bytes = 0;
  for (const fs::path& file : writer.commit()) bytes += static_cast<int64_t>(bytes_of(file));

  const fs::path source = part.store.path() / "config.json";
  Json config = read_config_file(source);
  config["quantization_config"] = stored.quantization_config(recipe.main());
  atomic_write(folder / "config.json", config.dump(2) + "\n");
  return bytes;
}

/// Files that hold weights, in any format: they are copied only when they are the ones in use.
bool holds_weights(const fs::path& file) {
  static const std::set<std::string> kinds = {".safetensors", ".bin",  ".pt",   ".pth", ".ckpt",
                                              ".msgpack",     ".onnx", ".gguf", ".h5"};
  return kinds.contains(file.extension().string()) ||
         file.filename().string().ends_with(".safetensors.index.json") ||
         file.filename().string().ends_with(".bin.index.json");
}

void copy_file(const fs::path& from, const fs::path& to, const CancelToken& cancel) {
  constexpr uint64_t kBlock = 8 << 20;
  const InputFile input(from);
  AtomicFile output(to);
  std::vector<std::byte> block(std::min(kBlock, input.size()));
  for (uint64_t offset = 0; offset < input.size(); offset += kBlock) {
    cancel.check();
    const auto bytes = std::span(block).first(std::min(kBlock, input.size() - offset));
    input.read_at(offset, bytes);
    output.write(bytes);
  }
  output.commit();
}

struct Copy {
  fs::path from, to;  // to: within the new folder
};

/// The files of a model that are not rewritten: small ones at the top, and of each component all
/// but weights that are not in use. `packed` are the parts that are rewritten.
std::vector<Copy> files_to_copy(const ModelFolder& model, const std::vector<Part>& parts,
                                const std::vector<std::string>& packed) {
  constexpr uint64_t kSmall = 1 << 20;  // model_index.json, README.md, LICENSE
  std::vector<Copy> copies;
  const auto visible_files = [](const fs::path& folder) {
    std::vector<fs::path> files;
    for (const std::string& name : list_folder(folder))
      if (!name.starts_with(".") && fs::is_regular_file(folder / name))
        files.push_back(folder / name);
    return files;
  };
  for (const fs::path& file : visible_files(model.path))
    if (!holds_weights(file) && bytes_of(file) <= kSmall) copies.push_back({file, file.filename()});
  for (const std::string_view component : model_components()) {
    const bool is_packed = std::ranges::find(packed, component) != packed.end();
    for (const fs::path& file : visible_files(model.path / component)) {
      if (holds_weights(file) || (is_packed && file.filename() == "config.json")) continue;
      copies.push_back({file, fs::path(component) / file.filename()});
    }
  }
  for (const Part& part : parts) {
    if (std::ranges::find(packed, part.name) != packed.end()) continue;
    for (const fs::path& file : part.store.files())
      copies.push_back({file, fs::path(part.name) / file.filename()});
    if (const fs::path& index = part.store.index_file(); !index.empty())
      copies.push_back({index, fs::path(part.name) / index.filename()});
  }
  return copies;
}

}  // namespace

QuantizeResult quantize_folder(const ModelFolder& model, const Recipe& recipe,
                               const fs::path& output, Progress& progress,
                               const CancelToken& cancel, uint64_t max_shard_bytes) {
  if (output.empty()) fail(ErrorCode::bad_argument, "the output: expected a folder, got nothing");
  if (model.synthetic)
    fail(ErrorCode::unsupported,
         "the model {}: expected weights in files, got synthetic ones, which are made anew each "
         "time "
         "and packed while they are loaded (generate --scheme)",
         model.name);
  const fs::path target = fs::absolute(output / "").parent_path().lexically_normal();
  require_output_outside_input(model.path, target);
  QuantizeResult result;
  std::vector<Part> parts;
  std::vector<std::string> layers;
  for (const auto& [name, plan] : weight_plans(model)) {
    parts.push_back(plan_part(model, name, plan, recipe, progress));
    for (const LayerCoverage& layer : parts.back().layers) layers.push_back(layer.layer);
  }
  recipe.check_used(layers);
  uint64_t needed = 0;
  for (const Part& part : parts) {
    if (part.weights.empty()) continue;
    result.parts.push_back(part.name);
    result.layers.insert(result.layers.end(), part.layers.begin(), part.layers.end());
    for (const fs::path& file : part.store.files())
      result.input_bytes += static_cast<int64_t>(bytes_of(file));
    for (const LayerCoverage& layer : part.layers)
      needed += static_cast<uint64_t>(layer.packed_bytes);
  }
  if (result.parts.empty())
    fail(ErrorCode::bad_argument,
         "recipe {} with scheme {} packs no layer: there is nothing to quantize", recipe.name(),
         recipe.main().info().name);

  const std::vector<Copy> copies = files_to_copy(model, parts, result.parts);
  for (const Copy& copy : copies) needed += bytes_of(copy.from);
  if (const uint64_t available = available_disk_bytes(target); available < needed)
    fail(ErrorCode::disk_full, "{}: expected {} bytes free, got {}", target.string(), needed,
         available);

  NewFolder folder(target);
  for (const std::string_view component : model_components())
    make_folder(folder.path() / component);
  for (const Part& part : parts) {
    if (!part.weights.empty())
      result.output_bytes +=
          write_part(part, recipe, folder.path() / part.name, max_shard_bytes, progress, cancel);
  }
  progress.begin("copy the rest", static_cast<int64_t>(copies.size()));
  for (size_t i = 0; i < copies.size(); ++i) {
    copy_file(copies[i].from, folder.path() / copies[i].to, cancel);
    progress.update(static_cast<int64_t>(i) + 1);
  }
  folder.publish();
  return result;
}

}  // namespace fluxq

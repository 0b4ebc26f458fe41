#include "models/weights.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <numeric>

#include "base/text.h"
#include "models/stored_weights.h"

namespace fluxq {
namespace {

int64_t sum(std::span<const int64_t> values) {
  return std::accumulate(values.begin(), values.end(), int64_t{0});
}

// The number after `prefix` in "transformer_blocks.12.attn…", or -1.
int64_t list_index(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return -1;
  name.remove_prefix(prefix.size());
  int64_t index = -1;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), index);
  return error == std::errc() && index >= 0 ? index : -1;
}

}  // namespace

Recipe::Choice choose_scheme(const Recipe& recipe, const std::string& layer, int64_t out,
                             int64_t in) {
  Recipe::Choice choice = recipe.choose(layer);
  if (const auto reason = choice.scheme->refuses(out, in)) {
    choice.reason = fmt::format("{} refuses it: {}", choice.scheme->info().name, *reason);
    choice.scheme = &recipe.baseline();
  }
  return choice;
}

int64_t layout_bytes(const Scheme& scheme, int64_t out, int64_t in) {
  int64_t bytes = 0;
  for (const PartSpec& part : scheme.layout(out, in))
    bytes += element_count(part.shape) * dtype_bytes(part.dtype);
  return bytes;
}

// ---- WeightPlan

std::vector<Linear> WeightPlan::split_linear(const std::string& name, int64_t out,
                                             std::span<const int64_t> columns, bool bias) {
  entries_.push_back(
      {Entry::Kind::linear, name, {out, sum(columns)}, bias, {columns.begin(), columns.end()}});
  return std::vector<Linear>(columns.size());
}

Linear WeightPlan::side_by_side(std::vector<Linear> /*layers*/) { return {}; }

Linear WeightPlan::qkv(std::vector<Linear> /*layers*/, int64_t /*heads*/) { return {}; }

Tensor WeightPlan::tensor(const std::string& name, Shape shape) {
  entries_.push_back({Entry::Kind::tensor, name, std::move(shape), false});
  return {};
}

std::shared_ptr<ConvWeight> WeightPlan::conv(const std::string& name, int64_t out, int64_t in,
                                             int64_t kernel, bool /*upsample*/) {
  entries_.push_back({Entry::Kind::conv, name, {out, in, kernel, kernel}, true});
  return nullptr;
}

std::vector<ExpectedTensor> WeightPlan::expected() const {
  std::vector<ExpectedTensor> expected;
  for (const Entry& entry : entries_) {
    if (entry.kind == Entry::Kind::tensor) {
      expected.push_back({entry.name, entry.shape});
      continue;
    }
    expected.push_back({entry.name + ".weight", entry.shape});
    if (entry.bias) expected.push_back({entry.name + ".bias", {entry.shape[0]}});
  }
  return expected;
}

std::vector<std::string> WeightPlan::layers(std::string_view part) const {
  std::vector<std::string> layers;
  for (const Entry& entry : entries_)
    if (entry.kind == Entry::Kind::linear) layers.push_back(fmt::format("{}.{}", part, entry.name));
  return layers;
}

int64_t WeightPlan::parameters() const {
  int64_t count = 0;
  for (const Entry& entry : entries_)
    count += element_count(entry.shape) + (entry.bias ? entry.shape[0] : 0);
  return count;
}

int64_t WeightPlan::bytes(std::string_view part, const Recipe& recipe,
                          DeviceSchemes* schemes) const {
  const int64_t element = dtype_bytes(recipe.stream());
  int64_t bytes = 0;
  for (const Entry& entry : entries_) {
    if (entry.bias) bytes += entry.shape[0] * element;
    if (entry.kind != Entry::Kind::linear) {
      bytes += element_count(entry.shape) * element;
      continue;
    }
    const int64_t out = entry.shape[0], in = entry.shape[1];
    const std::string layer = fmt::format("{}.{}", part, entry.name);
    const Scheme& scheme = *choose_scheme(recipe, layer, out, in).scheme;
    const int64_t packed = layout_bytes(scheme, out, in);
    bytes +=
        schemes ? schemes->on_device(scheme)->loaded_bytes(out, entry.columns, packed) : packed;
  }
  return bytes;
}

// ---- DeviceSchemes

std::shared_ptr<SchemeKernels> DeviceSchemes::on_device(const Scheme& scheme) {
  std::shared_ptr<SchemeKernels>& kernels = kernels_of_[&scheme];
  if (!kernels) kernels = scheme.on(kernels_);
  return kernels;
}

// ---- WeightLoader

WeightLoader::WeightLoader(const TensorSource& source, std::string part, const Recipe& recipe,
                           DeviceSchemes& schemes, Progress& progress, const CancelToken& cancel)
    : source_(source),
      part_(std::move(part)),
      recipe_(recipe),
      schemes_(schemes),
      progress_(progress),
      cancel_(cancel) {}

void WeightLoader::check(const WeightPlan& plan, std::span<const List> lists,
                         std::span<const std::string_view> unused) {
  const std::vector<ExpectedTensor> expected = expected_tensors(plan, source_);
  for (const std::string& warning : check_expected(source_, expected, unused))
    progress_.warn(warning);
  for (const std::string& name : source_.names()) {
    for (const List& list : lists) {
      if (list_index(name, list.prefix) < list.count) continue;
      fail(ErrorCode::corrupt_file,
           "{}: tensor {}: expected {} entries in the list \"{}\" (config.json), got more",
           source_.path().string(), in_quotes(name), list.count, list.prefix);
    }
  }
  progress_.begin(fmt::format("load {}", part_), static_cast<int64_t>(expected.size()));
}

Tensor WeightLoader::read(const std::string& name) {
  cancel_.check();
  Tensor tensor = source_.read(name, cancel_);
  progress_.update(++tensors_done_);
  return tensor;
}

// Tensor `name` on the device in the stream's dtype. What is computed is computed there, unless it
// has to be rounded to another dtype first.
Tensor WeightLoader::on_device(const std::string& name, Shape shape) {
  const std::optional<RandomValues> values = source_.random_values(name);
  if (!values || source_.find(name)->dtype != stream()) {
    const Tensor host = read(name);
    const bool fits = host.dtype() == stream();
    return kernels().upload(fits ? host : converted(host, stream())).reshaped(std::move(shape));
  }
  cancel_.check();
  const Tensor tensor = kernels().allocate(stream(), std::move(shape));
  kernels().fill_random(tensor, values->key, values->offset, values->spread);
  progress_.update(++tensors_done_);
  return tensor;
}

// The one place that knows how a layer's weight lies in a checkpoint: packed already, or as a plain
// tensor, which the scheme packs, on the device where it can. What the device packed from goes
// before the next layer comes.
PackedWeight WeightLoader::packed_weight(const Scheme& scheme, SchemeKernels& kernels,
                                         const std::string& name, int64_t out, int64_t in) {
  if (const StoredWeight stored = stored_weight(source_, name, out, in); stored.scheme) {
    if (stored.scheme != &scheme)
      fail(ErrorCode::bad_argument,
           "{}: layer {} is stored as {} and cannot be packed again: expected that scheme, got {}",
           source_.path().string(), in_quotes(name), stored.scheme->info().name,
           scheme.info().name);
    cancel_.check();
    tensors_done_ += static_cast<int64_t>(scheme.layout(out, in).size());
    PackedWeight packed = read_stored_weight(source_, name, scheme, out, in, cancel_);
    progress_.update(tensors_done_);
    return packed;
  }
  const Tensor weight = on_device(name + ".weight", {out, in});
  const std::string tensor = fmt::format("{}.{}.weight", part_, name);
  const auto begun = std::chrono::steady_clock::now();
  std::optional<PackedWeight> packed_there = kernels.pack(weight, tensor);
  PackedWeight packed = packed_there ? std::move(*packed_there)
                                     : scheme.pack(schemes_.kernels().download(weight), tensor);
  pack_ms_ +=
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun).count();
  if (packed.out != out || packed.in != in)
    fail(ErrorCode::internal, "{}: packed as [{}, {}], expected [{}, {}]", name, packed.out,
         packed.in, out, in);
  return packed;
}

std::vector<Linear> WeightLoader::split_linear(const std::string& name, int64_t out,
                                               std::span<const int64_t> columns, bool bias) {
  const int64_t in = sum(columns);
  const std::string layer = fmt::format("{}.{}", part_, name);
  const Recipe::Choice choice = choose_scheme(recipe_, layer, out, in);
  const std::shared_ptr<SchemeKernels> kernels = schemes_.on_device(*choice.scheme);
  const PackedWeight packed = packed_weight(*choice.scheme, *kernels, name, out, in);
  const Tensor input_scale =
      stored_weight(source_, name, out, in).input_scale
          ? converted(read(part_tensor_name(name, kInputScalePart)), DType::f32)
          : Tensor();
  LayerCoverage coverage = {.layer = layer,
                            .scheme = choice.scheme->info().name,
                            .reason = choice.reason,
                            .out = out,
                            .in = in,
                            .packed_bytes = packed.bytes(),
                            .kernel = kernels->kernel_name(),
                            .fused = kernels->fused()};
  std::vector<Linear> parts;
  int64_t begin = 0;
  for (const int64_t count : columns) {
    const bool is_last = parts.size() + 1 == columns.size();
    const std::shared_ptr<DeviceWeight> weight = kernels->load(packed, begin, count);
    const Tensor added = bias && is_last ? tensor(name + ".bias", {out}) : Tensor();
    const Tensor scale = input_scale.empty()
                             ? Tensor()
                             : schemes_.kernels().upload(input_scale.slice(begin, begin + count));
    parts.emplace_back(kernels, weight, added, scale);
    coverage.resident_bytes += weight->bytes;
    begin += count;
  }
  resident_bytes_ += coverage.resident_bytes;
  coverage_.push_back(std::move(coverage));
  return parts;
}

Linear WeightLoader::side_by_side(std::vector<Linear> layers) {
  return Linear::side_by_side(kernels(), std::move(layers));
}

Linear WeightLoader::qkv(std::vector<Linear> layers, int64_t heads) {
  return Linear::qkv(kernels(), std::move(layers), heads);
}

Tensor WeightLoader::tensor(const std::string& name, Shape shape) {
  const Tensor device = on_device(name, std::move(shape));
  resident_bytes_ += device.bytes();
  return device;
}

std::shared_ptr<ConvWeight> WeightLoader::conv(const std::string& name, int64_t out, int64_t in,
                                               int64_t kernel, bool upsample) {
  const Tensor weight = read(name + ".weight");
  const Tensor bias = read(name + ".bias");
  std::shared_ptr<ConvWeight> loaded = kernels().load_conv(
      weight.reshaped({out, in, kernel, kernel}), bias.reshaped({out}), stream(), upsample);
  resident_bytes_ += loaded->bytes;
  return loaded;
}

}  // namespace fluxq

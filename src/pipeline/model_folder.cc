#include "pipeline/model_folder.h"

#include <algorithm>
#include <array>

#include "base/json.h"
#include "hub/cache_layout.h"
#include "models/synthetic.h"

namespace fluxq {
namespace {

namespace fs = std::filesystem;

/// The classes that FLUX.1 pipelines are made of; the fast and slow tokenizers read the same files.
struct Component {
  std::string_view part;
  std::vector<std::string_view> classes;
};
const std::array kComponents = {
    Component{"scheduler", {"FlowMatchEulerDiscreteScheduler"}},
    Component{"text_encoder", {"CLIPTextModel"}},
    Component{"text_encoder_2", {"T5EncoderModel"}},
    Component{"tokenizer", {"CLIPTokenizer", "CLIPTokenizerFast"}},
    Component{"tokenizer_2", {"T5TokenizerFast", "T5Tokenizer"}},
    Component{"transformer", {"FluxTransformer2DModel"}},
    Component{"vae", {"AutoencoderKL"}},
};

void check_index(const fs::path& file) {
  const Json index = read_config_file(file);
  const std::string where = file.string();
  const std::string pipeline = require_string(index, "_class_name", where);
  if (pipeline != "FluxPipeline") {
    fail(ErrorCode::unsupported, "{}: _class_name: expected FluxPipeline, got {}", where, pipeline);
  }
  for (const Component& component : kComponents) {
    const Json* entry = find_member(index, component.part, where);
    if (!entry || !entry->is_array() || entry->size() != 2 || !(*entry)[1].is_string()) {
      fail(ErrorCode::corrupt_file, "{}: {}: expected [library, class], got {}", where,
           component.part, entry ? describe(*entry) : "nothing");
    }
    const std::string name = (*entry)[1].get<std::string>();
    if (std::find(component.classes.begin(), component.classes.end(), name) ==
        component.classes.end()) {
      fail(ErrorCode::unsupported, "{}: {}: expected {}, got {}", where, component.part,
           fmt::join(component.classes, " or "), name);
    }
  }
}

/// FLUX.1's own habits (diffusers' FluxPipeline and the model cards), within what the model's files
/// allow.
GenerationDefaults defaults_of(const ModelFolder& model, const Json& vae) {
  GenerationDefaults defaults;
  const bool dev = model.flux.guidance;
  defaults.steps = dev ? 28 : 4;
  defaults.guidance = dev ? 3.5 : 0;
  const fs::path tokenizer = model.path / "tokenizer_2" / "tokenizer_config.json";
  // transformers writes 1e30 for "no limit"
  const double longest =
      optional_number(read_config_file(tokenizer), "model_max_length", tokenizer.string(), 1e30, 1);
  defaults.max_text_tokens = static_cast<int>(std::min<double>(longest, dev ? 512 : 256));
  const int64_t size = optional_int(vae, "sample_size", "vae/config.json", 1024, 1, 1 << 16);
  defaults.width = defaults.height =
      static_cast<int>(std::max<int64_t>(size / model.size_step(), 1)) * model.size_step();
  return defaults;
}

/// Whether the folder says that its weights are a formula, and that it is ours.
bool is_synthetic(const fs::path& folder) {
  const fs::path file = folder / "synthetic.json";
  if (!fs::exists(file)) return false;
  const int64_t generator =
      require_int(read_config_file(file), "generator", file.string(), 1, 1000);
  if (generator != kSyntheticGenerator)
    fail(ErrorCode::unsupported, "{}: generator: expected {}, the only one known here, got {}",
         file.string(), kSyntheticGenerator, generator);
  return true;
}

}  // namespace

std::vector<std::string_view> model_components() {
  std::vector<std::string_view> parts;
  for (const Component& component : kComponents) parts.push_back(component.part);
  return parts;
}

ModelFolder read_model_folder(const fs::path& path, Progress& progress) {
  std::error_code unreadable;
  if (!fs::is_directory(path, unreadable))
    fail(ErrorCode::not_found, "the model {}: expected a diffusers folder", path.string());
  check_index(path / "model_index.json");
  ModelFolder model;
  model.path = path;
  model.synthetic = is_synthetic(path);
  model.name = (model.synthetic ? std::string(kSyntheticPrefix) : "") + model_name_of(path);
  const auto read = [&](std::string_view part, auto parse) {
    const fs::path file = path / part / "config.json";
    return parse(read_config_file(file), file.string(), progress);
  };
  model.flux = read("transformer", parse_flux_config);
  model.clip = read("text_encoder", parse_clip_config);
  model.t5 = read("text_encoder_2", parse_t5_config);
  model.vae = read("vae", parse_vae_config);
  const fs::path scheduler = path / "scheduler" / "scheduler_config.json";
  model.scheduler = parse_flow_match_config(read_config_file(scheduler), scheduler.string());
  const auto agree = [&](std::string_view what, int64_t expected, std::string_view other,
                         int64_t got) {
    if (expected != got) {
      fail(ErrorCode::corrupt_file, "{}: {} {} does not fit {} {}", path.string(), what, expected,
           other, got);
    }
  };
  agree("transformer joint_attention_dim", model.flux.text_dim, "text_encoder_2 d_model",
        model.t5.width);
  agree("transformer pooled_projection_dim", model.flux.pooled_dim, "text_encoder hidden_size",
        model.clip.width);
  agree("transformer in_channels", model.flux.in_channels, "4 x vae latent_channels",
        4 * model.vae.latent_channels);
  model.variant = model.flux.guidance ? "dev" : "schnell";
  model.defaults = defaults_of(model, read_config_file(path / "vae" / "config.json"));
  return model;
}

}  // namespace fluxq

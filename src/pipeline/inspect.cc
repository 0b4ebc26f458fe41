#include "pipeline/inspect.h"

#include "checkpoint/safetensors.h"
#include "pipeline/model_weights.h"

namespace fluxq {
namespace {

namespace fs = std::filesystem;

void add_tensor(TensorSummary& summary, const TensorEntry& entry) {
  const int64_t elements = element_count(entry.shape);
  ++summary.tensors;
  summary.parameters += elements;
  summary.bytes += elements * dtype_bytes(entry.dtype);
  summary.dtypes[std::string(dtype_name(entry.dtype))] += elements;
}

TensorSummary summarize(const ModelFolder& model, const std::string& part, Progress& progress) {
  const std::unique_ptr<TensorSource> tensors = open_tensors(model, part);
  TensorSummary summary;
  summary.name = part;
  for (const fs::path& file : tensors->files()) summary.files.push_back(file.filename().string());
  for (const std::string& name : tensors->names()) add_tensor(summary, *tensors->find(name));
  for (const std::string& warning : tensors->warnings()) progress.warn(warning);
  return summary;
}

template <typename... Values>
std::string show(fmt::format_string<Values...> format, Values&&... values) {
  return fmt::format(format, std::forward<Values>(values)...);
}

Json object_of(const std::vector<std::pair<std::string, std::string>>& facts) {
  Json object = Json::object();
  for (const auto& [name, value] : facts) object[name] = value;
  return object;
}

}  // namespace

Inspection inspect_model(const fs::path& folder, Progress& progress) {
  const ModelFolder model = read_model_folder(folder, progress);
  Inspection inspection;
  inspection.kind = "model";
  inspection.path = folder.string();
  inspection.name = model.name;
  inspection.variant = model.variant;
  inspection.layout = model.synthetic ? "synthetic" : "diffusers";

  TensorSummary transformer = summarize(model, "transformer", progress);
  const FluxConfig& flux = model.flux;
  transformer.facts = {
      {"blocks", show("{} double + {} single", flux.double_blocks, flux.single_blocks)},
      {"hidden", show("{} = {} heads x {}", flux.hidden(), flux.heads, flux.head_dim)},
      {"rope axes", show("{}", fmt::join(flux.axes, ", "))},
      {"guidance embedding", flux.guidance ? "yes" : "no"}};
  TensorSummary t5 = summarize(model, "text_encoder_2", progress);
  t5.facts = {{"T5 encoder", show("{} layers, width {}, {} heads x {}", model.t5.layers,
                                  model.t5.width, model.t5.heads, model.t5.head_dim)}};
  TensorSummary clip = summarize(model, "text_encoder", progress);
  clip.facts = {{"CLIP text encoder", show("{} layers, width {}, {} heads", model.clip.layers,
                                           model.clip.width, model.clip.heads)}};
  TensorSummary vae = summarize(model, "vae", progress);
  vae.facts = {{"autoencoder",
                show("{} latent channels, blocks {}, 1/{} of the size", model.vae.latent_channels,
                     fmt::join(model.vae.channels, ", "), model.vae.scale())}};
  inspection.parts = {std::move(transformer), std::move(t5), std::move(clip), std::move(vae)};

  const GenerationDefaults& defaults = model.defaults;
  inspection.defaults = {{"steps", show("{}", defaults.steps)},
                         {"guidance", show("{}", defaults.guidance)},
                         {"size", show("{} x {}", defaults.width, defaults.height)},
                         {"text tokens", show("{}", defaults.max_text_tokens)}};
  return inspection;
}

Inspection inspect_safetensors(const fs::path& file, Progress& progress) {
  const SafetensorsFile safetensors(file);
  Inspection inspection;
  inspection.kind = "safetensors";
  inspection.path = file.string();
  inspection.name = file.filename().string();
  TensorSummary summary;
  summary.name = inspection.name;
  summary.files = {inspection.name};
  for (const auto& [name, entry] : safetensors.entries()) add_tensor(summary, entry);
  for (const std::string& warning : safetensors.warnings()) progress.warn(warning);
  for (const auto& [key, value] : safetensors.metadata()) inspection.metadata[key] = value;
  inspection.parts = {std::move(summary)};
  return inspection;
}

Json to_json(const Inspection& inspection) {
  Json parts = Json::array();
  for (const TensorSummary& part : inspection.parts) {
    Json entry = {{"name", part.name},
                  {"files", part.files},
                  {"tensors", part.tensors},
                  {"parameters", part.parameters},
                  {"bytes", part.bytes},
                  {"dtypes", part.dtypes},
                  {"facts", object_of(part.facts)}};
    if (!part.scheme.empty()) entry["scheme"] = part.scheme;
    parts.push_back(std::move(entry));
  }
  Json json = {{"kind", inspection.kind},
               {"path", inspection.path},
               {"name", inspection.name},
               {"parts", std::move(parts)}};
  if (inspection.kind == "model") {
    json["variant"] = inspection.variant;
    json["layout"] = inspection.layout;
    json["defaults"] = object_of(inspection.defaults);
  } else {
    json["metadata"] = inspection.metadata;
  }
  return json;
}

}  // namespace fluxq

#include "pipeline/model_weights.h"

#include "base/sha256.h"
#include "checkpoint/tensor_store.h"
#include "checkpoint/weights_hash.h"
#include "models/clip/text_encoder.h"
#include "models/flux/transformer.h"
#include "models/synthetic.h"
#include "models/t5/encoder.h"
#include "models/vae/decoder.h"

namespace fluxq {

std::map<std::string, WeightPlan> weight_plans(const ModelFolder& model) {
  return {{"text_encoder", ClipTextEncoder::plan(model.clip)},
          {"text_encoder_2", T5Encoder::plan(model.t5)},
          {"transformer", FluxTransformer::plan(model.flux)},
          {"vae", VaeDecoder::plan(model.vae)}};
}

std::unique_ptr<TensorSource> open_tensors(const ModelFolder& model, const std::string& part) {
  if (!model.synthetic) return std::make_unique<TensorStore>(model.path / part);
  return std::make_unique<SyntheticTensors>(model.path / part, part, weight_plans(model).at(part));
}

std::string model_weights_sha256(const ModelFolder& model, int threads, const CancelToken& cancel) {
  if (!model.synthetic) return weights_sha256(model.path, threads, cancel);
  std::string text = fmt::format("{} {}\n", model.name, kSyntheticGenerator);
  for (const auto& [part, plan] : weight_plans(model))
    text += part + "\n" + SyntheticTensors(model.path / part, part, plan).description();
  return sha256_hex(text);
}

}  // namespace fluxq

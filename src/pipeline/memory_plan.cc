#include "pipeline/memory_plan.h"

#include <algorithm>

namespace fluxq {
namespace {

constexpr double kGigabyte = 1e9;

int64_t sum(const std::vector<MemoryPlan::Entry>& entries) {
  int64_t bytes = 0;
  for (const MemoryPlan::Entry& entry : entries) bytes += entry.bytes;
  return bytes;
}

int64_t largest(const std::vector<MemoryPlan::Entry>& entries) {
  int64_t bytes = 0;
  for (const MemoryPlan::Entry& entry : entries) bytes = std::max(bytes, entry.bytes);
  return bytes;
}

}  // namespace

int64_t MemoryPlan::needed_bytes() const { return sum(weights) + largest(activations); }

MemoryPlan plan_weights(const ModelFolder& model, const Recipe& recipe) {
  MemoryPlan plan;
  const auto add = [&](const std::string& part, const WeightPlan& weights) {
    plan.weights.push_back({part + " weights", weights.bytes(part, recipe)});
  };
  add("transformer", FluxTransformer::plan(model.flux));
  add("text_encoder_2", T5Encoder::plan(model.t5));
  add("text_encoder", ClipTextEncoder::plan(model.clip));
  add("vae", VaeDecoder::plan(model.vae));
  return plan;
}

void plan_activations(MemoryPlan& plan, const ModelFolder& model, const Recipe& recipe,
                      int64_t pictures, int64_t width, int64_t height, int64_t text_tokens) {
  const int64_t element = dtype_bytes(recipe.stream());
  const int64_t step = model.size_step();
  const int64_t tokens = text_tokens + (width / step) * (height / step);
  // Per token: the stream, q, k, v, the attention's output, the MLP's inner width, and that one's
  // quantized copy.
  const int64_t denoise = pictures * tokens * model.flux.hidden() * (1 + 3 + 1 + 4 + 4) * element;
  // Per token: the stream, q, k, v, the attention's output, and both halves of the gated MLP.
  const int64_t text = text_tokens *
                           (model.t5.width * 2 + model.t5.inner() * 4 + model.t5.feed_forward * 2) *
                           element +
                       model.t5.heads * text_tokens * text_tokens * dtype_bytes(DType::f32);
  const int64_t decode =
      VaeDecoder::scratch_elements(model.vae, pictures, height / step, width / step) * element;
  plan.activations.push_back({"denoise activations", denoise});
  plan.activations.push_back({"text activations", text});
  plan.activations.push_back({"decode activations", decode});
}

void check_fits(const MemoryPlan& plan, int64_t available_bytes, const std::string& what) {
  if (plan.needed_bytes() <= available_bytes) return;
  std::string list;
  const auto add = [&](const MemoryPlan::Entry& entry) {
    list += fmt::format("{}{} {:.2f} GB", list.empty() ? "" : ", ", entry.name,
                        static_cast<double>(entry.bytes) / kGigabyte);
  };
  for (const MemoryPlan::Entry& entry : plan.weights) add(entry);
  for (const MemoryPlan::Entry& entry : plan.activations) add(entry);
  fail(ErrorCode::out_of_memory_host,
       "{}: expected at least {:.2f} GB of free host memory, got {:.2f} GB ({}). A smaller "
       "--batch, a smaller size or a "
       "scheme with fewer bits per weight needs less",
       what, static_cast<double>(plan.needed_bytes()) / kGigabyte,
       static_cast<double>(available_bytes) / kGigabyte, list);
}

}  // namespace fluxq

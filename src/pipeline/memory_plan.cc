#include "pipeline/memory_plan.h"

#include <algorithm>
#include <numeric>

#include "kernels/workspaces.h"
#include "models/flux/transformer.h"
#include "models/vae/decoder.h"
#include "pipeline/model_weights.h"

namespace fluxq {
namespace {

using Entry = MemoryPlan::Entry;

constexpr double kGigabyte = 1e9;
constexpr int64_t kF32Bytes = 4;
constexpr int64_t kMaxBatch = 1024;
/// What a device's operations take for themselves: on the GPU the libraries' workspaces and the
/// scores of attention that cuDNN does not do; in the steps a product's workspace and the weight
/// that it expands (72 MiB of FLUX.1's MLP), and as much for the text's product beside it; on the
/// CPU the threads' rows and tiles.
constexpr int64_t kCudaWorkspaceBytes =
    std::max(kDnnWorkspaceBytes, kScoreBytes + kProductWorkspaceBytes);
constexpr int64_t kCudaProductBytes = kProductWorkspaceBytes + (int64_t{72} << 20);
constexpr int64_t kCpuWorkspaceBytes = int64_t{16} << 20;

int64_t sum(const std::vector<Entry>& entries) {
  return std::accumulate(entries.begin(), entries.end(), int64_t{0},
                         [](int64_t bytes, const Entry& entry) { return bytes + entry.bytes; });
}

/// The plans of what a phase works with, by their parts.
std::map<std::string, WeightPlan> weights_of(const ModelFolder& model, Phase phase) {
  using Use = FluxTransformer::Use;
  const std::map<std::string, WeightPlan> all = weight_plans(model);
  switch (phase) {
    case Phase::text:
      return {{"text_encoder", all.at("text_encoder")},
              {"text_encoder_2", all.at("text_encoder_2")}};
    case Phase::condition:
      return {{"transformer", FluxTransformer::plan(model.flux, Use::condition)}};
    case Phase::denoise:
      return {{"transformer", FluxTransformer::plan(model.flux, Use::velocity)}};
    case Phase::decode:
      return {{"vae", all.at("vae")}};
  }
  return {};
}

/// The largest linear layer of a part as it is before it is packed.
int64_t largest_layer_bytes(const WeightPlan& plan, const Recipe& recipe) {
  int64_t largest = 0;
  for (const WeightPlan::Entry& entry : plan.entries())
    if (entry.kind == WeightPlan::Entry::Kind::linear)
      largest = std::max(largest, element_count(entry.shape));
  return largest * dtype_bytes(recipe.stream());
}

/// The activations of one request, as the models take them from the arena.
class Activations {
 public:
  Activations(const ModelFolder& model, const Recipe& recipe, const MemoryRequest& request,
              Kernels& kernels)
      : model_(model),
        request_(request),
        is_cuda_(kernels.device() == Device::cuda),
        element_(dtype_bytes(recipe.stream())),
        fuses_act_(recipe.main().on(kernels)->fused().act),
        image_(request.width / model.size_step() * (request.height / model.size_step())) {}

  std::vector<Entry> of(Phase phase) const {
    std::vector<Entry> entries;
    switch (phase) {
      case Phase::text:
        entries = {{"text states", text()}, {"embeddings", embeddings()}};
        break;
      case Phase::condition:
        entries = {{"latents and conditioning", lasting()}};
        break;
      case Phase::denoise:
        entries = {{"latents and conditioning", lasting()}, {"blocks", blocks()}};
        break;
      case Phase::decode:
        entries = {{"latents and conditioning", lasting()}, {"pictures", pictures()}};
        break;
    }
    entries.push_back({"workspace", !is_cuda_                 ? kCpuWorkspaceBytes
                                    : phase == Phase::denoise ? kCudaProductBytes
                                                              : kCudaWorkspaceBytes});
    return entries;
  }

  /// What is not of the arena: T5's bias, which stays, and on the GPU what the text's layers take
  /// while they run beside the image's.
  std::vector<Entry> beside() const {
    const int64_t rows = request_.text_tokens;
    std::vector<Entry> entries = {{"attention bias", model_.t5.heads * rows * rows * kF32Bytes}};
    if (is_cuda_) {
      const FluxConfig& flux = model_.flux;
      entries.push_back(
          {"text beside the image",
           linear(request_.batch * rows, flux.hidden(), flux.mlp()) + kCudaProductBytes});
    }
    return entries;
  }

 private:
  int64_t tokens() const { return request_.text_tokens + image_; }

  // What linear layers take for `rows` rows of state `width`, the widest of them with `inner`
  // columns: the prepared input, a norm's as wide as the stream or the inner one in codes of 8 bits
  // (on the CPU they may be as wide as the stream), and on the GPU a product whose epilogue is not
  // fused.
  int64_t linear(int64_t rows, int64_t width, int64_t inner) const {
    const int64_t code = is_cuda_ ? 1 : element_;
    const int64_t prepared = rows * (std::max(width * element_, inner * code) + kF32Bytes);
    const int64_t product = is_cuda_ ? rows * (fuses_act_ ? width : inner) * element_ : 0;
    return prepared + product;
  }

  int64_t embeddings() const {
    return (request_.text_tokens * model_.t5.width + model_.clip.width) * element_;
  }

  int64_t text() const {
    const T5Config& t5 = model_.t5;
    const int64_t rows = request_.text_tokens;
    const int64_t columns =
        t5.width + std::max(4 * t5.inner(), (t5.gated ? 2 : 1) * t5.feed_forward);
    return rows * columns * element_ +
           linear(rows, t5.width, std::max(t5.inner(), t5.feed_forward)) +
           attention(rows, t5.heads * t5.head_dim);
  }

  // What a run keeps: embeddings, latents, velocity, FluxTransformer::Conditioning.
  int64_t lasting() const {
    const FluxConfig& flux = model_.flux;
    const int64_t latents = 2 * request_.batch * image_ * flux.in_channels;
    const int64_t text = request_.batch * request_.text_tokens * flux.hidden();
    const int64_t modulation = request_.steps * request_.batch * FluxModulation(flux).columns();
    return embeddings() + (latents + text + modulation) * element_ +
           tokens() * flux.head_dim * kF32Bytes;
  }

  // FluxTransformer::velocity(): the state, q, k, v and the MLP, the attention's output.
  int64_t blocks() const {
    const FluxConfig& flux = model_.flux;
    const int64_t rows = request_.batch * tokens();
    const int64_t columns = flux.hidden() + (3 * flux.hidden() + flux.mlp()) + flux.hidden();
    return rows * columns * element_ + linear(rows, flux.hidden(), flux.mlp()) +
           attention(rows, flux.hidden());
  }

  int64_t pictures() const {
    const int64_t step = model_.size_step();
    const int64_t height = request_.height / step, width = request_.width / step;
    const int64_t values = request_.batch * request_.height * request_.width * 3;
    const VaeDecoder::Scratch scratch =
        VaeDecoder::scratch(model_.vae, request_.batch, height, width);
    // Of the decoder's stages, and the bytes of the pictures after all of them.
    const int64_t middle = scratch.middle * element_ +
                           attention(scratch.pictures * 4 * image_, model_.vae.channels.back());
    const int64_t upsampling = is_cuda_ ? scratch.upsampling * element_ : 0;
    return values * element_ + std::max({middle, scratch.resnets * element_, upsampling, values});
  }

  // The CPU arranges keys and values once for all queries; the sizes of its tiles round up. On the
  // GPU the 8-bit codes of q, k and v and the input of the layer that makes them need less than the
  // MLP's layers, and results from parts of the keys (13 MiB a picture at most) have the workspace.
  int64_t attention(int64_t rows, int64_t width) const {
    return is_cuda_ ? 0 : 2 * rows * width * element_ * 5 / 4;
  }

  const ModelFolder& model_;
  const MemoryRequest& request_;
  bool is_cuda_;
  int64_t element_;
  bool fuses_act_;
  int64_t image_;  // tokens
};

std::string gigabytes(int64_t bytes) {
  return fmt::format("{:.2f} GB", static_cast<double>(bytes) / kGigabyte);
}

}  // namespace

std::string_view phase_name(Phase phase) {
  constexpr std::array<std::string_view, kPhases.size()> kNames = {"text", "condition", "denoise",
                                                                   "decode"};
  return kNames[static_cast<size_t>(phase)];
}

int64_t MemoryPlan::PhasePlan::weight_bytes() const { return sum(weights); }
int64_t MemoryPlan::PhasePlan::activation_bytes() const { return sum(activations); }

int64_t MemoryPlan::weight_bytes() const {
  int64_t bytes = 0;
  for (const PhasePlan& phase : phases) bytes = std::max(bytes, phase.weight_bytes());
  return bytes;
}

int64_t MemoryPlan::activation_bytes() const {
  int64_t bytes = 0;
  for (const PhasePlan& phase : phases) bytes = std::max(bytes, phase.activation_bytes());
  return bytes;
}

int64_t MemoryPlan::needed_bytes(Phase phase) const {
  const PhasePlan& planned = of(phase);
  const int64_t loading = planned.loading_bytes > 0 ? block_bytes + planned.loading_bytes : 0;
  return planned.weight_bytes() + std::max(planned.activation_bytes(), loading);
}

int64_t MemoryPlan::needed_bytes() const {
  int64_t bytes = 0;
  for (const Phase phase : kPhases) bytes = std::max(bytes, needed_bytes(phase));
  return bytes + sum(beside);
}

MemoryPlan plan_memory(const ModelFolder& model, const Recipe& recipe, const MemoryRequest& request,
                       Kernels& kernels, WeightForm form) {
  DeviceSchemes schemes(kernels);
  const Activations activations(model, recipe, request, kernels);
  const bool by_phase = request.residency == Residency::by_phase;
  MemoryPlan plan;
  plan.beside = activations.beside();
  for (const Phase phase : kPhases) {
    MemoryPlan::PhasePlan& planned = plan.phases[static_cast<size_t>(phase)];
    planned.activations = activations.of(phase);
    if (!by_phase || phase != Phase::decode)
      plan.block_bytes = std::max(plan.block_bytes, planned.activation_bytes());
    for (const auto& [part, weights] : by_phase ? weights_of(model, phase) : weight_plans(model)) {
      planned.weights.push_back(
          {part + " weights",
           weights.bytes(part, recipe, form == WeightForm::loaded ? &schemes : nullptr)});
      if (by_phase)
        planned.loading_bytes =
            std::max(planned.loading_bytes, largest_layer_bytes(weights, recipe));
    }
  }
  if (by_phase) {
    std::vector<Entry>& decoding = plan.phases[static_cast<size_t>(Phase::decode)].activations;
    decoding.front() = {"the other phases' block", plan.block_bytes};
  }
  return plan;
}

int64_t largest_batch(const ModelFolder& model, const Recipe& recipe, MemoryRequest request,
                      Kernels& kernels, int64_t available_bytes) {
  int64_t fits = 0, too_many = kMaxBatch + 1;
  while (too_many - fits > 1) {
    request.batch = (fits + too_many) / 2;
    const bool is_small =
        plan_memory(model, recipe, request, kernels).needed_bytes() <= available_bytes;
    (is_small ? fits : too_many) = request.batch;
  }
  return fits;
}

std::vector<SchemeFit> scheme_fits(const ModelFolder& model, const MemoryRequest& request,
                                   Kernels& kernels, int64_t available_bytes) {
  std::vector<SchemeFit> fits;
  for (const Scheme* scheme : all_schemes()) {
    if (!scheme->runs_on(kernels.device())) continue;
    const Recipe recipe = Recipe::standard(*scheme);
    fits.push_back({scheme, plan_memory(model, recipe, request, kernels).needed_bytes(),
                    largest_batch(model, recipe, request, kernels, available_bytes)});
  }
  return fits;
}

std::vector<MemoryOption> memory_options(const ModelFolder& model, const Recipe& recipe,
                                         const MemoryRequest& request, Kernels& kernels,
                                         int64_t available_bytes) {
  std::vector<MemoryOption> options;
  const auto add = [&](std::string option, const Recipe& other, const MemoryRequest& changed) {
    const int64_t needed = plan_memory(model, other, changed, kernels).needed_bytes();
    options.push_back({std::move(option), needed, needed <= available_bytes});
  };
  const auto add_schemes = [&](std::string_view suffix, const MemoryRequest& changed) {
    for (const Scheme* scheme : all_schemes()) {
      if (scheme != &recipe.main() && scheme->stream() == recipe.stream() &&
          scheme->runs_on(kernels.device()))
        add(fmt::format("--scheme {}{}", scheme->info().name, suffix), Recipe::standard(*scheme),
            changed);
    }
  };
  add_schemes("", request);
  MemoryRequest by_phase = request, smaller = request;
  by_phase.residency = Residency::by_phase;
  if (request.residency == Residency::always) add("--low-memory", recipe, by_phase);
  smaller.batch = largest_batch(model, recipe, request, kernels, available_bytes);
  if (smaller.batch > 0 && smaller.batch < request.batch)
    add(fmt::format("--batch {}", smaller.batch), recipe, smaller);
  if (request.residency == Residency::always &&
      std::ranges::none_of(options, [](const MemoryOption& option) { return option.fits; }))
    add_schemes(" --low-memory", by_phase);
  return options;
}

void check_fits(const MemoryPlan& plan, const ModelFolder& model, const Recipe& recipe,
                const MemoryRequest& request, Kernels& kernels, int64_t available_bytes) {
  if (plan.needed_bytes() <= available_bytes) return;
  const bool is_cuda = kernels.device() == Device::cuda;
  std::string fitting;
  for (const MemoryOption& option :
       memory_options(model, recipe, request, kernels, available_bytes)) {
    if (option.fits)
      fitting += fmt::format("{}{} ({})", fitting.empty() ? "" : ", ", option.option,
                             gigabytes(option.needed_bytes));
  }
  fail(is_cuda ? ErrorCode::out_of_memory_device : ErrorCode::out_of_memory_host,
       "{} in {}, {} x {}, batch {}: expected {} of free {} memory ({} of weights, {} of "
       "activations), got {}. {}{}",
       model.name, recipe.main().info().name, request.width, request.height, request.batch,
       gigabytes(plan.needed_bytes()), is_cuda ? "device" : "host", gigabytes(plan.weight_bytes()),
       gigabytes(plan.activation_bytes()), gigabytes(available_bytes),
       fitting.empty() ? "No scheme and no batch of this size would fit" : "What would fit: ",
       fitting);
}

}  // namespace fluxq

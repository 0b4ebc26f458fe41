#include "models/clip/text_encoder.h"

#include <algorithm>
#include <cmath>

#include "models/token_ids.h"

namespace fluxq {
namespace {

constexpr const char* kOldPrefix = "text_model.";

ClipNorm norm_weights(const ClipConfig& config, WeightSource& source, const std::string& name) {
  return {source.tensor(name + ".weight", {config.width}),
          source.tensor(name + ".bias", {config.width})};
}

ClipBlock block_weights(const ClipConfig& config, WeightSource& source, const std::string& block) {
  const int64_t width = config.width;
  const auto attention = [&](const char* name) {
    return source.linear(block + "self_attn." + name, width, width);
  };
  ClipBlock result;
  result.attention_norm = norm_weights(config, source, block + "layer_norm1");
  result.qkv = source.side_by_side({attention("q_proj"), attention("k_proj"), attention("v_proj")});
  result.out = attention("out_proj");
  result.feed_forward_norm = norm_weights(config, source, block + "layer_norm2");
  result.up = source.linear(block + "mlp.fc1", config.feed_forward, width);
  result.down = source.linear(block + "mlp.fc2", width, config.feed_forward);
  return result;
}

ClipWeights load(const ClipConfig& config, WeightLoader& loader) {
  const std::string prefix =
      loader.has(std::string(kOldPrefix) + "embeddings.token_embedding.weight") ? kOldPrefix : "";
  const WeightLoader::List lists[] = {{prefix + "encoder.layers.", config.layers}};
  WeightPlan plan;
  ClipWeights(config, plan, prefix);
  // Saved by older versions of transformers, or of use to other pipelines.
  const std::string position_ids = prefix + "embeddings.position_ids";
  const std::string_view unused[] = {position_ids, "text_projection.", "vision_model.",
                                     "visual_projection.", "logit_scale"};
  loader.check(plan, lists, unused);
  return ClipWeights(config, loader, prefix);
}

}  // namespace

ClipWeights::ClipWeights(const ClipConfig& config, WeightSource& source,
                         const std::string& prefix) {
  tokens = source.tensor(prefix + "embeddings.token_embedding.weight",
                         {config.vocabulary, config.width});
  positions = source.tensor(prefix + "embeddings.position_embedding.weight",
                            {config.positions, config.width});
  for (int64_t i = 0; i < config.layers; ++i)
    blocks.push_back(block_weights(config, source, fmt::format("{}encoder.layers.{}.", prefix, i)));
  final_norm = norm_weights(config, source, prefix + "final_layer_norm");
}

int64_t clip_end_position(std::span<const int32_t> ids, int64_t eos) {
  constexpr int64_t kOldConfig = 2;  // see transformers' pull request 24773
  const auto end = eos == kOldConfig ? std::ranges::max_element(ids) : std::ranges::find(ids, eos);
  return end == ids.end() ? 0 : end - ids.begin();
}

WeightPlan ClipTextEncoder::plan(const ClipConfig& config) {
  WeightPlan plan;
  ClipWeights(config, plan, "");
  return plan;
}

ClipTextEncoder::ClipTextEncoder(const ClipConfig& config, WeightLoader& loader)
    : config_(config),
      kernels_(loader.kernels()),
      stream_(loader.stream()),
      weights_(load(config, loader)) {}

Producer ClipTextEncoder::normed(const ClipNorm& norm, const Rows& rows) const {
  return {.kind = Producer::Kind::layer_norm,
          .x = rows,
          .weight = norm.weight,
          .bias = norm.bias,
          .eps = config_.eps};
}

void ClipTextEncoder::run_block(const ClipBlock& block, const Rows& state) const {
  Arena& arena = kernels_.arena();
  Arena::Scope scope(arena);
  const int64_t width = config_.width;
  const Rows qkv = arena.take(stream_, {state.batch, state.rows, 3 * width});
  const Rows attended = arena.take(stream_, {state.batch, state.rows, width});
  const Rows inner = arena.take(stream_, {state.batch, state.rows, config_.feed_forward});
  const Rows q = qkv.columns(0, width), k = qkv.columns(width, width),
             v = qkv.columns(2 * width, width);
  block.qkv.run(kernels_, normed(block.attention_norm, state), qkv);
  kernels_.attention({.q = q,
                      .k = k,
                      .v = v,
                      .out = attended,
                      .heads = config_.heads,
                      .scale = 1 / std::sqrt(static_cast<float>(config_.head_dim())),
                      .causal = true});
  block.out.run(kernels_, {.x = attended}, state, {.residual = state});
  block.up.run(kernels_, normed(block.feed_forward_norm, state), inner, {.act = config_.act});
  block.down.run(kernels_, {.x = inner}, state, {.residual = state});
}

void ClipTextEncoder::encode(const Tensor& ids, const Rows& pooled,
                             const CancelToken& cancel) const {
  check_token_ids(ids, config_.vocabulary, "text_encoder");
  const int64_t batch = ids.dim(0), tokens = ids.dim(1);
  if (tokens < 1 || tokens > config_.positions)
    fail(ErrorCode::internal, "text_encoder: expected 1 to {} tokens, got {}", config_.positions,
         tokens);
  Arena& arena = kernels_.arena();
  Arena::Scope scope(arena);
  const Tensor device_ids = arena.take(DType::i32, ids.shape());
  kernels_.copy_to(ids, device_ids);
  const Rows state = arena.take(stream_, {batch, tokens, config_.width});
  kernels_.embed(device_ids, weights_.tokens, weights_.positions, state);
  for (const ClipBlock& block : weights_.blocks) {
    cancel.check();
    run_block(block, state);
  }
  for (int64_t i = 0; i < batch; ++i) {
    const std::span<const int32_t> text(ids.data<int32_t>() + i * tokens,
                                        static_cast<size_t>(tokens));
    const Rows end = state.item(i).middle(clip_end_position(text, config_.eos), 1);
    kernels_.produce(normed(weights_.final_norm, end), pooled.item(i));
  }
}

}  // namespace fluxq

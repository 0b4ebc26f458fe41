#include "models/t5/encoder.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "models/token_ids.h"

namespace fluxq {
namespace {

T5Block block_weights(const T5Config& config, WeightSource& source, const std::string& block,
                      T5Weights* first) {
  const std::string attention = block + "layer.0.SelfAttention.";
  const std::string feed_forward = block + "layer.1.DenseReluDense.";
  const int64_t width = config.width, inner = config.inner();
  T5Block result;
  result.attention_norm = source.tensor(block + "layer.0.layer_norm.weight", {width});
  result.qkv = source.side_by_side({source.linear(attention + "q", inner, width, false),
                                    source.linear(attention + "k", inner, width, false),
                                    source.linear(attention + "v", inner, width, false)});
  if (first)
    first->position_bias =
        source.tensor(attention + "relative_attention_bias.weight", {config.buckets, config.heads});
  result.out = source.linear(attention + "o", width, inner, false);
  result.feed_forward_norm = source.tensor(block + "layer.1.layer_norm.weight", {width});
  const auto up = [&](const char* name) {
    return source.linear(feed_forward + name, config.feed_forward, width, false);
  };
  if (config.gated)
    result.up = source.side_by_side({up("wi_0"), up("wi_1")});
  else
    result.up = up("wi");
  result.down = source.linear(feed_forward + "wo", width, config.feed_forward, false);
  return result;
}

constexpr const char* kShared = "shared.weight";
constexpr const char* kEmbedTokens = "encoder.embed_tokens.weight";

T5Weights load(const T5Config& config, WeightLoader& loader) {
  const WeightLoader::List lists[] = {{"encoder.block.", config.layers}};
  // Files hold the table under either name, or both; a decoder may come along.
  const std::string embedding =
      !loader.has(kShared) && loader.has(kEmbedTokens) ? kEmbedTokens : kShared;
  WeightPlan plan;
  T5Weights(config, plan, embedding);
  static constexpr std::string_view kUnused[] = {kShared, kEmbedTokens, "decoder.", "lm_head."};
  loader.check(plan, lists, kUnused);
  return T5Weights(config, loader, embedding);
}

}  // namespace

T5Weights::T5Weights(const T5Config& config, WeightSource& source,
                     const std::string& embedding_name) {
  embedding = source.tensor(embedding_name, {config.vocabulary, config.width});
  for (int64_t i = 0; i < config.layers; ++i)
    blocks.push_back(block_weights(config, source, fmt::format("encoder.block.{}.", i),
                                   i == 0 ? this : nullptr));
  final_norm = source.tensor("encoder.final_layer_norm.weight", {config.width});
}

int64_t t5_bucket(int64_t distance, int64_t buckets, int64_t max_distance) {
  const int64_t half = buckets / 2;
  const int64_t offset = distance > 0 ? half : 0;
  const int64_t size = std::abs(distance);
  const int64_t exact = half / 2;
  if (size < exact) return offset + size;
  // In float32, as torch: the boundaries of the logarithmic buckets depend on the rounding.
  const float position =
      std::log(static_cast<float>(size) / static_cast<float>(exact)) /
      static_cast<float>(std::log(static_cast<double>(max_distance) / static_cast<double>(exact))) *
      static_cast<float>(half - exact);
  return offset + std::min(exact + static_cast<int64_t>(position), half - 1);
}

WeightPlan T5Encoder::plan(const T5Config& config) {
  WeightPlan plan;
  T5Weights(config, plan, kShared);
  return plan;
}

T5Encoder::T5Encoder(const T5Config& config, WeightLoader& loader)
    : config_(config),
      kernels_(loader.kernels()),
      stream_(loader.stream()),
      weights_(load(config, loader)) {}

// The bias that attention adds to its scores: table[bucket(key - query)][head].
static Tensor position_bias(const T5Config& config, const Tensor& table, int64_t tokens) {
  const std::vector<float> values = to_floats(table);
  Tensor bias = Tensor::on_host(DType::f32, {config.heads, tokens, tokens});
  // It depends on the distance only: row `query` of a head is a window of one list per head.
  std::vector<float> of_distance(static_cast<size_t>(2 * tokens - 1));
  for (int64_t head = 0; head < config.heads; ++head) {
    for (int64_t distance = 1 - tokens; distance < tokens; ++distance) {
      const int64_t bucket = t5_bucket(distance, config.buckets, config.max_distance);
      of_distance[static_cast<size_t>(distance + tokens - 1)] =
          values[static_cast<size_t>(bucket * config.heads + head)];
    }
    for (int64_t query = 0; query < tokens; ++query)
      std::copy_n(of_distance.begin() + (tokens - 1 - query), tokens,
                  bias.data<float>() + (head * tokens + query) * tokens);
  }
  return bias;
}

void T5Encoder::run_block(const T5Block& block, const Rows& state) const {
  Arena& arena = kernels_.arena();
  Arena::Scope scope(arena);
  const int64_t inner = config_.inner();
  const auto normed = [&](const Tensor& weight) {
    return Producer{
        .kind = Producer::Kind::rms_norm, .x = state, .weight = weight, .eps = config_.eps};
  };
  const auto buffer = [&](int64_t columns) -> Rows {
    return arena.take(stream_, {state.batch, state.rows, columns});
  };
  {
    Arena::Scope attention(arena);
    const Rows qkv = buffer(3 * inner), attended = buffer(inner);
    const Rows q = qkv.columns(0, inner), k = qkv.columns(inner, inner),
               v = qkv.columns(2 * inner, inner);
    block.qkv.run(kernels_, normed(block.attention_norm), qkv);
    kernels_.attention({.q = q,
                        .k = k,
                        .v = v,
                        .out = attended,
                        .heads = config_.heads,
                        .scale = 1,
                        .bias = bias_});
    block.out.run(kernels_, {.x = attended}, state, {.residual = state});
  }
  const int64_t width = config_.feed_forward;
  const Rows up = buffer(config_.gated ? 2 * width : width);
  block.up.run(kernels_, normed(block.feed_forward_norm), up);
  Producer inner_values = {.x = up.columns(0, width), .act = config_.act};
  if (config_.gated) inner_values.factor = up.columns(width, width);
  block.down.run(kernels_, inner_values, state, {.residual = state});
}

void T5Encoder::encode(const Tensor& ids, const Rows& out, const CancelToken& cancel) {
  check_token_ids(ids, config_.vocabulary, "text_encoder_2");
  const int64_t batch = ids.dim(0), tokens = ids.dim(1);
  if (bias_.empty() || bias_.dim(1) != tokens)
    bias_ =
        kernels_.upload(position_bias(config_, kernels_.download(weights_.position_bias), tokens));

  Arena& arena = kernels_.arena();
  Arena::Scope scope(arena);
  const Tensor device_ids = arena.take(DType::i32, ids.shape());
  kernels_.copy_to(ids, device_ids);
  const Tensor state = arena.take(stream_, {batch, tokens, config_.width});
  kernels_.embed(device_ids, weights_.embedding, {}, state);
  for (const T5Block& block : weights_.blocks) {
    cancel.check();
    run_block(block, state);
  }
  kernels_.produce({.kind = Producer::Kind::rms_norm,
                    .x = state,
                    .weight = weights_.final_norm,
                    .eps = config_.eps},
                   out);
}

}  // namespace fluxq

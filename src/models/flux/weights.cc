#include "models/flux/weights.h"

#include "models/flux/sinusoid.h"

namespace fluxq {
namespace {

FluxEmbedder embedder(WeightSource& source, const std::string& name, int64_t in, int64_t hidden) {
  return {source.linear(name + ".linear_1", hidden, in),
          source.linear(name + ".linear_2", hidden, hidden)};
}

// One stream of a double block. The two differ in their names only.
struct StreamNames {
  std::string q, k, v, q_norm, k_norm, out, feed_forward;
};

FluxStream stream(WeightSource& source, const FluxConfig& config, const std::string& block,
                  const StreamNames& names) {
  const int64_t hidden = config.hidden();
  FluxStream stream;
  stream.qkv = source.qkv({source.linear(block + names.q, hidden, hidden),
                           source.linear(block + names.k, hidden, hidden),
                           source.linear(block + names.v, hidden, hidden)},
                          config.heads);
  stream.q_norm = source.tensor(block + names.q_norm, {config.head_dim});
  stream.k_norm = source.tensor(block + names.k_norm, {config.head_dim});
  stream.out = source.linear(block + names.out, hidden, hidden);
  stream.up = source.linear(block + names.feed_forward + ".net.0.proj", config.mlp(), hidden);
  stream.down = source.linear(block + names.feed_forward + ".net.2", hidden, config.mlp());
  return stream;
}

FluxSingleBlock single_block(WeightSource& source, const FluxConfig& config,
                             const std::string& block) {
  const int64_t hidden = config.hidden();
  FluxSingleBlock single;
  const Linear qkv = source.qkv({source.linear(block + "attn.to_q", hidden, hidden),
                                 source.linear(block + "attn.to_k", hidden, hidden),
                                 source.linear(block + "attn.to_v", hidden, hidden)},
                                config.heads);
  single.qkv_mlp = std::vector{qkv, source.linear(block + "proj_mlp", config.mlp(), hidden)};
  single.q_norm = source.tensor(block + "attn.norm_q.weight", {config.head_dim});
  single.k_norm = source.tensor(block + "attn.norm_k.weight", {config.head_dim});
  const int64_t columns[] = {hidden, config.mlp()};
  const std::vector<Linear> out = source.split_linear(block + "proj_out", hidden, columns, true);
  single.out_attention = out[0];
  single.out_mlp = out[1];
  return single;
}

}  // namespace

FluxConditionWeights::FluxConditionWeights(const FluxConfig& config, WeightSource& source) {
  const int64_t hidden = config.hidden();
  const std::string embed = "time_text_embed.";
  context_embedder = source.linear("context_embedder", hidden, config.text_dim);
  time = embedder(source, embed + "timestep_embedder", kSinusoidWidth, hidden);
  if (config.guidance)
    guidance = embedder(source, embed + "guidance_embedder", kSinusoidWidth, hidden);
  pooled = embedder(source, embed + "text_embedder", config.pooled_dim, hidden);

  std::vector<Linear> adaptive;
  for (int64_t i = 0; i < config.double_blocks; ++i) {
    const std::string block = fmt::format("transformer_blocks.{}.", i);
    adaptive.push_back(source.linear(block + "norm1.linear", 6 * hidden, hidden));
    adaptive.push_back(source.linear(block + "norm1_context.linear", 6 * hidden, hidden));
  }
  for (int64_t i = 0; i < config.single_blocks; ++i) {
    const std::string layer = fmt::format("single_transformer_blocks.{}.norm.linear", i);
    adaptive.push_back(source.linear(layer, 3 * hidden, hidden));
  }
  adaptive.push_back(source.linear("norm_out.linear", 2 * hidden, hidden));
  modulation = std::move(adaptive);
}

FluxStepWeights::FluxStepWeights(const FluxConfig& config, WeightSource& source) {
  const int64_t hidden = config.hidden();
  x_embedder = source.linear("x_embedder", hidden, config.in_channels);
  for (int64_t i = 0; i < config.double_blocks; ++i) {
    const std::string block = fmt::format("transformer_blocks.{}.", i);
    double_blocks.push_back(
        {.image = stream(source, config, block,
                         {"attn.to_q", "attn.to_k", "attn.to_v", "attn.norm_q.weight",
                          "attn.norm_k.weight", "attn.to_out.0", "ff"}),
         .text = stream(
             source, config, block,
             {"attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj", "attn.norm_added_q.weight",
              "attn.norm_added_k.weight", "attn.to_add_out", "ff_context"})});
  }
  for (int64_t i = 0; i < config.single_blocks; ++i)
    single_blocks.push_back(
        single_block(source, config, fmt::format("single_transformer_blocks.{}.", i)));
  proj_out = source.linear("proj_out", config.in_channels, hidden);
}

}  // namespace fluxq

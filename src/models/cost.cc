#include "models/cost.h"

#include "models/flux/sinusoid.h"
#include "models/flux/weights.h"

namespace fluxq {
namespace {

// Adds up operations on `rows` rows in all.
class Counter {
 public:
  explicit Counter(int64_t rows) : rows_(rows) {}

  // An input prepared for the linears that read it: read and written.
  Counter& prepare(int64_t in) { return move(2 * in); }
  // Reads its prepared input, writes its output; a residual is read too.
  Counter& linear(int64_t in, int64_t out, bool residual = false) {
    cost_.linear_flops += 2.0 * product(rows_, in) * static_cast<double>(out);
    cost_.weight_elements += product(in, out);
    return move(in + out + (residual ? out : 0));
  }
  // `batch` matrices of rows_ / batch queries, and as many keys, over all heads.
  Counter& attention(int64_t batch, int64_t width) {
    const int64_t tokens = rows_ / batch;
    cost_.attention_flops += 4.0 * product(rows_, tokens) * static_cast<double>(width);
    return move(4 * width);
  }
  // Read and written in place.
  Counter& in_place(int64_t columns) { return move(2 * columns); }
  // A convolution that writes rows_ pixels from as many, or, doubled in size, from a quarter.
  Counter& conv(int64_t in, int64_t out, int64_t kernel, bool upsample = false,
                bool residual = false) {
    const int64_t taps = kernel * kernel;
    cost_.conv_flops += 2.0 * product(rows_, out) * product(in, taps);
    cost_.weight_elements += product(in, out) * static_cast<double>(taps);
    cost_.activation_elements -= upsample ? 0.75 * product(rows_, in) : 0;
    return move(in + out + (residual ? out : 0));
  }

  const Cost& cost() const { return cost_; }

 private:
  static double product(int64_t a, int64_t b) {
    return static_cast<double>(a) * static_cast<double>(b);
  }
  Counter& move(int64_t columns) {
    cost_.activation_elements += product(rows_, columns);
    return *this;
  }

  int64_t rows_;
  Cost cost_;
};

Cost embedder_cost(int64_t rows, int64_t in, int64_t hidden) {
  return Counter(rows).linear(in, hidden).linear(hidden, hidden).cost();
}

// One stream of a double block, without the attention that both share.
Cost stream_cost(const FluxConfig& config, int64_t rows) {
  const int64_t hidden = config.hidden(), mlp = config.mlp();
  return Counter(rows)
      .prepare(hidden)
      .linear(hidden, 3 * hidden)
      .in_place(2 * hidden)  // norm and rotation of q and k
      .linear(hidden, hidden, true)
      .prepare(hidden)
      .linear(hidden, mlp)
      .linear(mlp, hidden, true)
      .cost();
}

Cost resnet_cost(int64_t pixels, int64_t in, int64_t out) {
  Counter counter(pixels);
  counter.prepare(in).conv(in, out, 3).prepare(out).conv(out, out, 3, false, true);
  if (in != out) counter.conv(in, out, 1);
  return counter.cost();
}

}  // namespace

Cost& Cost::operator+=(const Cost& other) {
  linear_flops += other.linear_flops;
  attention_flops += other.attention_flops;
  conv_flops += other.conv_flops;
  weight_elements += other.weight_elements;
  activation_elements += other.activation_elements;
  return *this;
}

Cost t5_cost(const T5Config& config, int64_t batch, int64_t tokens) {
  const int64_t width = config.width, inner = config.inner(), wide = config.feed_forward;
  Counter counter(batch * tokens);
  for (int64_t i = 0; i < config.layers; ++i) {
    counter.prepare(width).linear(width, 3 * inner).attention(batch, inner);
    counter.linear(inner, width, true).prepare(width).linear(width, wide);
    if (config.gated) counter.linear(width, wide);
    counter.prepare(wide).linear(wide, width, true);
  }
  return counter.prepare(width).cost();
}

Cost clip_cost(const ClipConfig& config, int64_t batch, int64_t tokens) {
  const int64_t width = config.width, wide = config.feed_forward;
  Counter counter(batch * tokens);
  for (int64_t i = 0; i < config.layers; ++i) {
    counter.prepare(width).linear(width, 3 * width).attention(batch, width);
    counter.linear(width, width, true).prepare(width);
    counter.linear(width, wide).linear(wide, width, true);
  }
  return counter.cost();
}

Cost flux_condition_cost(const FluxConfig& config, int64_t batch, int64_t text_tokens,
                         int64_t steps) {
  const int64_t hidden = config.hidden();
  Cost cost = Counter(batch * text_tokens).linear(config.text_dim, hidden).cost();
  cost += embedder_cost(steps, kSinusoidWidth, hidden);
  if (config.guidance) cost += embedder_cost(1, kSinusoidWidth, hidden);
  cost += embedder_cost(batch, config.pooled_dim, hidden);
  cost += Counter(steps * batch)
              .prepare(hidden)
              .linear(hidden, FluxModulation(config).columns())
              .cost();
  return cost;
}

Cost flux_step_cost(const FluxConfig& config, int64_t batch, int64_t text_tokens,
                    int64_t image_tokens) {
  const int64_t hidden = config.hidden(), mlp = config.mlp();
  const int64_t image = batch * image_tokens, text = batch * text_tokens;
  Cost cost = Counter(text).prepare(hidden).cost();  // copied into the joint buffer
  cost += Counter(image).linear(config.in_channels, hidden).cost();
  for (int64_t i = 0; i < config.double_blocks; ++i) {
    cost += stream_cost(config, text);
    cost += stream_cost(config, image);
    cost += Counter(text + image).attention(batch, hidden).cost();
  }
  for (int64_t i = 0; i < config.single_blocks; ++i) {
    cost += Counter(text + image)
                .prepare(hidden)
                .linear(hidden, 3 * hidden + mlp)
                .in_place(2 * hidden)
                .attention(batch, hidden)
                .linear(hidden, hidden, true)
                .linear(mlp, hidden, true)
                .cost();
  }
  cost += Counter(image).prepare(hidden).linear(hidden, config.in_channels).cost();
  return cost;
}

Cost vae_cost(const VaeConfig& config, int64_t batch, int64_t height, int64_t width) {
  const int64_t latent = config.latent_channels, deepest = config.channels.back();
  int64_t pixels = batch * 4 * height * width;
  Cost cost;
  if (config.post_quant_conv) cost += Counter(pixels).conv(latent, latent, 1).cost();
  cost += Counter(pixels).conv(latent, deepest, 3).cost();
  cost += resnet_cost(pixels, deepest, deepest);
  if (config.mid_attention) {
    cost += Counter(pixels)
                .prepare(deepest)
                .linear(deepest, 3 * deepest)
                .attention(batch, deepest)
                .linear(deepest, deepest, true)
                .cost();
  }
  cost += resnet_cost(pixels, deepest, deepest);
  int64_t in = deepest;
  for (size_t i = config.channels.size(); i-- > 0;) {
    const int64_t out = config.channels[i];
    for (int64_t j = 0; j <= config.layers_per_block; ++j)
      cost += resnet_cost(pixels, j == 0 ? in : out, out);
    if (i > 0) {
      pixels *= 4;
      cost += Counter(pixels).conv(out, out, 3, true).cost();
    }
    in = out;
  }
  cost += Counter(pixels).prepare(in).conv(in, 3, 3).cost();
  return cost;
}

}  // namespace fluxq

#include "models/vae/decoder.h"

#include <algorithm>
#include <cmath>

namespace fluxq {
namespace {

constexpr float kNormEps = 1e-6f;
constexpr int64_t kPictureChannels = 3;
// Pictures are decoded together while their largest activation stays below this (one picture of
// FLUX.1 at 256 x 256): more in one operation would take more memory and no less time.
constexpr int64_t kElementsAtOnce = int64_t{1} << 24;

VaeNorm norm_weights(WeightSource& source, const std::string& name, int64_t channels) {
  return {source.tensor(name + ".weight", {channels}), source.tensor(name + ".bias", {channels})};
}

VaeResnet resnet_weights(WeightSource& source, const std::string& name, int64_t in, int64_t out) {
  VaeResnet resnet;
  resnet.norm1 = norm_weights(source, name + ".norm1", in);
  resnet.conv1 = source.conv(name + ".conv1", out, in, 3);
  resnet.norm2 = norm_weights(source, name + ".norm2", out);
  resnet.conv2 = source.conv(name + ".conv2", out, out, 3);
  if (in != out) resnet.shortcut = source.conv(name + ".conv_shortcut", out, in, 1);
  return resnet;
}

VaeWeights load(const VaeConfig& config, WeightLoader& loader) {
  static constexpr std::string_view kUnused[] = {"encoder.", "quant_conv."};
  loader.check(VaeDecoder::plan(config), {}, kUnused);
  return VaeWeights(config, loader);
}

// Elements of one picture's buffers.
struct BufferSizes {
  int64_t middle;  // any activation before the first upsampling
  int64_t large;   // the largest of all: what an upsampler gives, with its block's channels
  int64_t small;   // the largest that a resnet gives
};

BufferSizes buffer_sizes(const VaeConfig& config, int64_t height, int64_t width) {
  int64_t pixels = 4 * height * width;
  const int64_t middle = pixels * std::max(config.latent_channels, config.channels.back());
  int64_t small = 0, large = middle;
  int64_t before = config.channels.back();
  for (size_t i = config.channels.size(); i-- > 0;) {
    small = std::max(small, pixels * config.channels[i]);
    large = std::max({large, small, pixels * before});
    before = config.channels[i];
    if (i > 0) pixels *= 4;
  }
  return {middle, large, small};
}

// A large batch is decoded in portions.
int64_t pictures_at_once(const VaeConfig& config, int64_t height, int64_t width) {
  return std::max<int64_t>(1, kElementsAtOnce / buffer_sizes(config, height, width).large);
}

// What lies at the front of a buffer.
Tensor view(const Tensor& buffer, const Shape& shape) {
  return buffer.slice(0, element_count(shape)).reshaped(shape);
}

}  // namespace

VaeWeights::VaeWeights(const VaeConfig& config, WeightSource& source) {
  const int64_t latent = config.latent_channels, deepest = config.channels.back();
  if (config.post_quant_conv) post_quant = source.conv("post_quant_conv", latent, latent, 1);
  conv_in = source.conv("decoder.conv_in", deepest, latent, 3);
  mid.push_back(resnet_weights(source, "decoder.mid_block.resnets.0", deepest, deepest));
  if (config.mid_attention) {
    const std::string name = "decoder.mid_block.attentions.0.";
    attention_norm = norm_weights(source, name + "group_norm", deepest);
    attention_qkv = source.side_by_side({source.linear(name + "to_q", deepest, deepest),
                                         source.linear(name + "to_k", deepest, deepest),
                                         source.linear(name + "to_v", deepest, deepest)});
    attention_out = source.linear(name + "to_out.0", deepest, deepest);
  }
  mid.push_back(resnet_weights(source, "decoder.mid_block.resnets.1", deepest, deepest));

  int64_t in = deepest;
  for (size_t i = 0; i < config.channels.size(); ++i) {
    const int64_t out = config.channels[config.channels.size() - 1 - i];
    const std::string name = fmt::format("decoder.up_blocks.{}.", i);
    VaeUpBlock block;
    for (int64_t j = 0; j <= config.layers_per_block; ++j) {
      block.resnets.push_back(
          resnet_weights(source, fmt::format("{}resnets.{}", name, j), j == 0 ? in : out, out));
    }
    if (i + 1 < config.channels.size())
      block.upsampler = source.conv(name + "upsamplers.0.conv", out, out, 3, /*upsample=*/true);
    up.push_back(std::move(block));
    in = out;
  }
  norm_out = norm_weights(source, "decoder.conv_norm_out", config.channels.front());
  conv_out = source.conv("decoder.conv_out", kPictureChannels, config.channels.front(), 3);
}

// The picture in the making and the two more buffers that it takes on the way: it starts in one of
// the three and from then on changes between the other two; what comes between may use the first.
class VaeDecoder::Canvas {
 public:
  // After `steps` times advance() it lies in `home`.
  Canvas(const Tensor& start, const Tensor& home, const Tensor& away, Shape size, size_t steps)
      : buffers_{start, steps % 2 == 1 ? home : away, steps % 2 == 1 ? away : home},
        size_(std::move(size)) {}

  const Shape& size() const { return size_; }
  Tensor current() const { return view(buffers_[current_], size_); }
  // For the current size with that many channels: where it goes next, and the buffer that is left.
  Tensor next(int64_t channels) const { return view(buffers_[next_index()], with(channels)); }
  Tensor other(int64_t channels) const {
    return view(buffers_[3 - current_ - next_index()], with(channels));
  }
  // What next() gave is the current picture from now on.
  void advance(int64_t channels) {
    size_ = with(channels);
    current_ = next_index();
  }

 private:
  int next_index() const { return current_ == 1 ? 2 : 1; }
  Shape with(int64_t channels) const { return {size_[0], size_[1], size_[2], channels}; }
  Tensor buffers_[3];
  int current_ = 0;
  Shape size_;  // [batch, height, width, channels] of the current picture
};

WeightPlan VaeDecoder::plan(const VaeConfig& config) {
  WeightPlan plan;
  VaeWeights(config, plan);
  return plan;
}

VaeDecoder::VaeDecoder(const VaeConfig& config, WeightLoader& loader)
    : config_(config),
      kernels_(loader.kernels()),
      stream_(loader.stream()),
      weights_(load(config, loader)) {}

void VaeDecoder::norm(const Tensor& x, const VaeNorm& weights, bool silu, const Tensor& out) const {
  kernels_.group_norm(x, config_.groups, weights.weight, weights.bias, kNormEps, silu, out);
}

// x + conv2(silu(norm2(conv1(silu(norm1(x)))))), x through the shortcut where there is one.
void VaeDecoder::run_resnet(const VaeResnet& resnet, Canvas& canvas,
                            const CancelToken& cancel) const {
  cancel.check();
  const Tensor x = canvas.current();
  const int64_t out = resnet.conv1->out_channels;
  const Tensor result = canvas.next(out), hidden = canvas.other(out);
  const Tensor residual = resnet.shortcut ? result : x;
  const Tensor normed = resnet.shortcut ? x : result;  // x is not needed after its shortcut
  if (resnet.shortcut) kernels_.conv2d(x, *resnet.shortcut, {}, residual);
  norm(x, resnet.norm1, true, normed);
  kernels_.conv2d(normed, *resnet.conv1, {}, hidden);
  norm(hidden, resnet.norm2, true, hidden);
  kernels_.conv2d(hidden, *resnet.conv2, residual, result);
  canvas.advance(out);
}

// x + out(attention(norm(x))) over all pixels, one head.
void VaeDecoder::run_attention(Canvas& canvas) const {
  Arena& arena = kernels_.arena();
  Arena::Scope scope(arena);
  const Tensor x = canvas.current();
  const int64_t batch = x.dim(0), pixels = x.dim(1) * x.dim(2), channels = x.dim(3);
  const Shape rows = {batch, pixels, channels};
  norm(x, weights_.attention_norm, false, canvas.next(channels));
  const Tensor normed = canvas.next(channels).reshaped(rows);
  const Tensor attended = canvas.other(channels).reshaped(rows);
  const Rows qkv = arena.take(stream_, {batch, pixels, 3 * channels});
  const Rows q = qkv.columns(0, channels), k = qkv.columns(channels, channels),
             v = qkv.columns(2 * channels, channels);
  weights_.attention_qkv.run(kernels_, {.x = normed}, qkv);
  kernels_.attention({.q = q,
                      .k = k,
                      .v = v,
                      .out = attended,
                      .scale = 1 / std::sqrt(static_cast<float>(channels))});
  const Tensor state = x.reshaped(rows);
  weights_.attention_out.run(kernels_, {.x = attended}, state, {.residual = state});
}

void VaeDecoder::decode_few(const Rows& latents, int64_t height, int64_t width,
                            const Tensor& pictures, const CancelToken& cancel) const {
  Arena& arena = kernels_.arena();
  const BufferSizes sizes = buffer_sizes(config_, height, width);
  const auto take = [&](int64_t elements) {
    return arena.take(stream_, {latents.batch * elements});
  };
  const Arena::Scope scope(arena);
  {
    // Where the arena must grow, by one block for all that comes and goes.
    const Arena::Scope once(arena);
    take(sizes.large + 2 * sizes.small);
  }
  const Tensor large = take(sizes.large);
  Shape size = {latents.batch, 2 * height, 2 * width, config_.latent_channels};
  {
    const Arena::Scope middle(arena);
    const Tensor start = take(sizes.middle), away = take(sizes.middle);
    Canvas canvas(start, large, away, size, weights_.post_quant ? size_t{4} : size_t{3});
    kernels_.unpack_latents(latents, config_.scaling, config_.shift, canvas.current());
    for (const auto& conv : {weights_.post_quant, weights_.conv_in}) {
      if (!conv) continue;
      cancel.check();
      kernels_.conv2d(canvas.current(), *conv, {}, canvas.next(conv->out_channels));
      canvas.advance(conv->out_channels);
    }
    run_resnet(weights_.mid[0], canvas, cancel);
    if (config_.mid_attention) run_attention(canvas);
    run_resnet(weights_.mid[1], canvas, cancel);
    size = canvas.size();
  }
  const Tensor small = take(sizes.small);
  for (const VaeUpBlock& block : weights_.up) {
    {
      const Arena::Scope resnets(arena);
      const Tensor away = take(sizes.small);
      Canvas canvas(large, small, away, size, block.resnets.size());
      for (const VaeResnet& weights : block.resnets) run_resnet(weights, canvas, cancel);
      size = canvas.size();
    }
    cancel.check();
    if (!block.upsampler) continue;
    const Tensor x = view(small, size);
    size = {size[0], 2 * size[1], 2 * size[2], size[3]};
    kernels_.conv2d(x, *block.upsampler, {}, view(large, size));
  }
  const Tensor x = view(small, size);
  norm(x, weights_.norm_out, true, x);
  kernels_.conv2d(x, *weights_.conv_out, {}, pictures);
}

VaeDecoder::Scratch VaeDecoder::scratch(const VaeConfig& config, int64_t batch, int64_t height,
                                        int64_t width) {
  const int64_t pictures = std::min(batch, pictures_at_once(config, height, width));
  const BufferSizes sizes = buffer_sizes(config, height, width);
  const int64_t qkv = config.mid_attention ? 3 * 4 * height * width * config.channels.back() : 0;
  int64_t phase = 0, rows = 2 * height, cols = 2 * width;
  for (size_t i = config.channels.size(); i-- > 1; rows *= 2, cols *= 2)
    phase = std::max(phase, (rows + 1) * (cols + 1) * config.channels[i]);
  return {.pictures = pictures,
          .middle = pictures * (sizes.large + 2 * sizes.middle + qkv),
          .resnets = pictures * (sizes.large + 2 * sizes.small),
          .upsampling = pictures * (sizes.large + sizes.small + phase)};
}

void VaeDecoder::decode(const Rows& latents, int64_t height, int64_t width, const Tensor& pictures,
                        const CancelToken& cancel) const {
  const Shape expected = {latents.batch, 2 * height * config_.scale(), 2 * width * config_.scale(),
                          kPictureChannels};
  if (latents.rows != height * width || latents.cols != 4 * config_.latent_channels ||
      pictures.shape() != expected) {
    fail(ErrorCode::internal, "decode: {} x {} latents give pictures {}, got {}", latents.rows,
         latents.cols, to_string(expected), to_string(pictures.shape()));
  }
  const int64_t at_once = pictures_at_once(config_, height, width);
  for (int64_t begin = 0; begin < latents.batch; begin += at_once) {
    const int64_t end = std::min(begin + at_once, latents.batch);
    Rows few = latents.item(begin);
    few.batch = end - begin;
    decode_few(few, height, width, pictures.slice(begin, end), cancel);
  }
}

}  // namespace fluxq

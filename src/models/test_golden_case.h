/// For tests: a case of tests/golden/models (a model, a request, and diffusers' stages of it), and
/// the same stages computed by ours, each from what ours before it gave.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "checkpoint/tensor_store.h"
#include "kernels/kernels.h"
#include "models/clip/text_encoder.h"
#include "models/flux/transformer.h"
#include "models/t5/encoder.h"
#include "models/testing.h"
#include "models/vae/decoder.h"
#include "sampling/latents.h"
#include "sampling/noise.h"

namespace fluxq::testing {

struct GoldenCase {
  explicit GoldenCase(const std::string& name)
      : json(read_config_file(golden_folder() / "models" / name / "case.json")),
        model(std::filesystem::path(FLUXQ_SOURCE_DIR) / require_string(json, "model", name)),
        stages(golden_folder() / "models" / name / "stages.safetensors"),
        name(name),
        seed(json.at("seed").get<uint64_t>()),
        width(require_int(json, "width", name, 1, 4096)),
        height(require_int(json, "height", name, 1, 4096)),
        batch(optional_int(json, "batch", name, 1, 1, 16)),
        guidance(static_cast<float>(optional_number(json, "guidance", name, 3.5))),
        token_stride(optional_int(json, "token_stride", name, 1, 1, 100)),
        pixel_stride(optional_int(json, "pixel_stride", name, 1, 1, 100)) {}

  std::vector<float> stage(const std::string& stage) const { return to_floats(stages.read(stage)); }

  Json json;
  std::filesystem::path model;
  SafetensorsFile stages;
  std::string name;
  uint64_t seed;
  int64_t width, height;
  int64_t batch;  ///< may be changed, and so may the seed: item i of a batch has seed + i
  float guidance;
  int64_t token_stride, pixel_stride;  ///< what the file keeps of tokens, of rows and columns
};

/// Stages by the names of `fluxq generate --dump`, on the host, in the stream's dtype; the image as
/// the decoder gives it, [batch, height, width, 3].
using Stages = std::map<std::string, Tensor>;

class StageRunner {
 public:
  StageRunner(const GoldenCase& golden, Kernels& kernels, const Recipe& recipe)
      : golden_(golden), kernels_(kernels), recipe_(recipe), schemes_(kernels) {}

  Stages run() {
    encode_text();
    denoise();
    decode();
    return std::move(stages_);
  }

 private:
  template <typename Model, typename Parse>
  Model load(const std::string& part, Parse parse) {
    const std::filesystem::path folder = golden_.model / part;
    const std::filesystem::path file = folder / "config.json";
    const auto config = parse(read_config_file(file), file.string(), progress_);
    const TensorStore store(folder);
    WeightLoader loader(store, part, recipe_, schemes_, progress_, cancel_);
    return Model(config, loader);
  }

  Tensor new_tensor(Shape shape) { return kernels_.allocate(recipe_.stream(), std::move(shape)); }

  void keep(const std::string& stage, const Tensor& tensor) {
    const Tensor host = kernels_.download(tensor);
    stages_[stage] = converted(host, host.dtype());  // a copy: latents change in place
  }

  // The same ids for each picture of the batch.
  Tensor ids(const std::string& encoder) const {
    const Tensor one = golden_units().read("ids." + golden_.name + "." + encoder);
    Tensor all = Tensor::on_host(DType::i32, {golden_.batch, one.elements()});
    for (int64_t i = 0; i < golden_.batch; ++i)
      std::copy_n(one.data<int32_t>(), one.elements(), all.data<int32_t>() + i * one.elements());
    return all;
  }

  void encode_text() {
    auto t5 = load<T5Encoder>("text_encoder_2", parse_t5_config);
    const Tensor t5_ids = ids("t5");
    prompt_ = new_tensor({golden_.batch, t5_ids.dim(1), t5.config().width});
    t5.encode(t5_ids, prompt_, cancel_);
    keep("prompt_embeds", prompt_);
    const auto clip = load<ClipTextEncoder>("text_encoder", parse_clip_config);
    pooled_ = new_tensor({golden_.batch, 1, clip.config().width});
    clip.encode(ids("clip"), pooled_, cancel_);
    keep("pooled_prompt_embeds", pooled_);
  }

  // Starting latents as tokens.
  Tensor start(int64_t channels, int64_t rows, int64_t columns) {
    const int64_t size = channels * rows * columns;
    std::vector<float> noise(static_cast<size_t>(golden_.batch * size));
    draw_batch_noise(golden_.seed, golden_.batch, noise);
    Tensor tokens = Tensor::on_host(DType::f32, {golden_.batch, rows * columns / 4, 4 * channels});
    for (int64_t i = 0; i < golden_.batch; ++i) {
      const auto count = static_cast<size_t>(size);
      pack_latents(std::span(noise).subspan(static_cast<size_t>(i) * count, count), channels, rows,
                   columns, std::span(tokens.data<float>() + i * size, count));
    }
    return kernels_.upload(converted(tokens, recipe_.stream()));
  }

  void denoise() {
    const auto transformer = load<FluxTransformer>("transformer", parse_flux_config);
    const Json vae = read_config_file(golden_.model / "vae/config.json");
    const int64_t scale = parse_vae_config(vae, "vae", progress_).scale();
    const int64_t rows = golden_.height / scale, columns = golden_.width / scale;
    latents_ = start(transformer.config().in_channels / 4, rows, columns);
    const Tensor velocity = new_tensor(latents_.shape());
    const std::vector<float> sigmas = golden_.stage("sigmas");
    std::vector<float> times;
    for (size_t i = 0; i + 1 < sigmas.size(); ++i) times.push_back(sigmas[i] * 1000 / 1000 * 1000);

    Arena::Scope scope(kernels_.arena());
    const FluxTransformer::Conditioning conditioning =
        transformer.condition({.times = times,
                               .guidance = golden_.guidance,
                               .prompt_embeds = prompt_,
                               .pooled = pooled_,
                               .height = rows / 2,
                               .width = columns / 2});
    for (size_t i = 0; i < times.size(); ++i) {
      transformer.velocity(conditioning, static_cast<int64_t>(i), latents_, velocity, cancel_);
      kernels_.euler_step(velocity, sigmas[i], sigmas[i + 1], latents_);
      keep(fmt::format("velocity.{}", i), velocity);
      keep(fmt::format("latents.{}", i), latents_);
    }
  }

  void decode() {
    const auto vae = load<VaeDecoder>("vae", parse_vae_config);
    const int64_t patch = 2 * vae.config().scale();
    const Tensor picture = new_tensor({golden_.batch, golden_.height, golden_.width, 3});
    vae.decode(latents_, golden_.height / patch, golden_.width / patch, picture, cancel_);
    keep("image", picture);
  }

  const GoldenCase& golden_;
  Kernels& kernels_;
  const Recipe& recipe_;
  DeviceSchemes schemes_;
  Progress progress_;
  CancelToken cancel_;
  Tensor prompt_, pooled_, latents_;
  Stages stages_;
};

}  // namespace fluxq::testing

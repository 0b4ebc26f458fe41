// Every stage of every model of tests/golden/models against diffusers in float32: each tensor
// within 1e-4 of its largest value. Each stage runs on what ours before it gave, as in a picture.
#include <algorithm>
#include <cmath>

#include "base/file.h"
#include "kernels/ref/ref_kernels.h"
#include "models/clip/text_encoder.h"
#include "models/flux/transformer.h"
#include "models/t5/encoder.h"
#include "models/testing.h"
#include "models/vae/decoder.h"
#include "sampling/latents.h"
#include "sampling/noise.h"

namespace fluxq {
namespace {

using testing::golden_folder;
using testing::golden_units;

constexpr double kBar = 1e-4;

// max |a - b| / max |b|, infinite for NaN and for lengths that differ.
double relative_error(const std::vector<float>& a, const std::vector<float>& b) {
  double error = a.size() == b.size() && !a.empty() ? 0 : INFINITY, largest = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    const double difference = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    error = std::isfinite(difference) ? std::max(error, difference) : INFINITY;
    largest = std::max(largest, std::abs(static_cast<double>(b[i])));
  }
  return error / largest;
}

struct Case {
  explicit Case(const std::string& name)
      : json(read_config_file(golden_folder() / "models" / name / "case.json")),
        model(std::filesystem::path(FLUXQ_SOURCE_DIR) / require_string(json, "model", name)),
        stages(golden_folder() / "models" / name / "stages.safetensors"),
        name(name),
        width(require_int(json, "width", name, 1, 4096)),
        height(require_int(json, "height", name, 1, 4096)),
        batch(optional_int(json, "batch", name, 1, 1, 16)),
        token_stride(optional_int(json, "token_stride", name, 1, 1, 100)),
        pixel_stride(optional_int(json, "pixel_stride", name, 1, 1, 100)) {}

  std::vector<float> stage(const std::string& stage) const { return to_floats(stages.read(stage)); }

  // The same ids for each picture of the batch.
  Tensor ids(const std::string& encoder) const {
    const Tensor one = golden_units().read("ids." + name + "." + encoder);
    Tensor all = Tensor::on_host(DType::i32, {batch, one.elements()});
    for (int64_t i = 0; i < batch; ++i)
      std::copy_n(static_cast<const int32_t*>(one.raw()), one.elements(),
                  all.data<int32_t>() + i * one.elements());
    return all;
  }

  Json json;
  std::filesystem::path model;
  SafetensorsFile stages;
  std::string name;
  int64_t width, height, batch, token_stride, pixel_stride;
};

// Each stride-th row of [batch, rows, cols].
std::vector<float> thinned(const std::vector<float>& values, int64_t rows, int64_t cols,
                           int64_t stride) {
  std::vector<float> kept;
  const auto count = static_cast<int64_t>(values.size()) / cols;
  for (int64_t row = 0; row < count; ++row) {
    if (row % rows % stride != 0) continue;
    kept.insert(kept.end(), values.begin() + row * cols, values.begin() + (row + 1) * cols);
  }
  return kept;
}

class Runner {
 public:
  Runner(const Case& golden, Kernels& kernels, const Recipe& recipe)
      : golden_(golden), kernels_(kernels), recipe_(recipe), schemes_(kernels) {}

  void run() {
    encode_text();
    denoise();
    decode();
  }

 private:
  // Model, Config and its parser from a part's folder.
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

  void check(const std::string& stage, const std::vector<float>& got) {
    EXPECT_LE(relative_error(got, golden_.stage(stage)), kBar) << golden_.name << " " << stage;
  }
  std::vector<float> host(const Tensor& tensor) { return to_floats(kernels_.download(tensor)); }

  void encode_text() {
    auto t5 = load<T5Encoder>("text_encoder_2", parse_t5_config);
    const Tensor ids = golden_.ids("t5");
    prompt_ = new_tensor({golden_.batch, ids.dim(1), t5.config().width});
    t5.encode(ids, prompt_, cancel_);
    check("prompt_embeds", host(prompt_));
    const auto clip = load<ClipTextEncoder>("text_encoder", parse_clip_config);
    pooled_ = new_tensor({golden_.batch, 1, clip.config().width});
    clip.encode(golden_.ids("clip"), pooled_, cancel_);
    check("pooled_prompt_embeds", host(pooled_));
  }

  // Starting latents as tokens.
  Tensor start(int64_t channels, int64_t rows, int64_t columns) {
    const int64_t size = channels * rows * columns;
    std::vector<float> noise(static_cast<size_t>(golden_.batch * size));
    const auto seed = golden_.json.at("seed").get<uint64_t>();
    draw_batch_noise(seed, golden_.batch, noise);
    Tensor tokens = Tensor::on_host(DType::f32, {golden_.batch, rows * columns / 4, 4 * channels});
    for (int64_t i = 0; i < golden_.batch; ++i)
      pack_latents(
          std::span(noise).subspan(static_cast<size_t>(i * size), static_cast<size_t>(size)),
          channels, rows, columns,
          std::span(tokens.data<float>() + i * size, static_cast<size_t>(size)));
    return kernels_.upload(tokens);
  }

  void denoise() {
    const auto transformer = load<FluxTransformer>("transformer", parse_flux_config);
    const Json vae = read_config_file(golden_.model / "vae/config.json");
    const int64_t scale = parse_vae_config(vae, "vae", progress_).scale();
    const int64_t rows = golden_.height / scale, columns = golden_.width / scale;
    const int64_t channels = transformer.config().in_channels / 4;
    latents_ = start(channels, rows, columns);
    const Tensor velocity = new_tensor(latents_.shape());
    const std::vector<float> sigmas = golden_.stage("sigmas");
    std::vector<float> times;
    for (size_t i = 0; i + 1 < sigmas.size(); ++i) times.push_back(sigmas[i] * 1000 / 1000 * 1000);

    Arena::Scope scope(kernels_.arena());
    const auto guidance =
        static_cast<float>(optional_number(golden_.json, "guidance", "case", 3.5));
    const FluxTransformer::Conditioning conditioning =
        transformer.condition({.times = times,
                               .guidance = guidance,
                               .prompt_embeds = prompt_,
                               .pooled = pooled_,
                               .height = rows / 2,
                               .width = columns / 2});
    const int64_t tokens = latents_.dim(1), width = latents_.dim(2);
    for (size_t i = 0; i < times.size(); ++i) {
      transformer.velocity(conditioning, static_cast<int64_t>(i), latents_, velocity, cancel_);
      kernels_.euler_step(velocity, sigmas[i], sigmas[i + 1], latents_);
      check(fmt::format("velocity.{}", i),
            thinned(host(velocity), tokens, width, golden_.token_stride));
      check(fmt::format("latents.{}", i),
            thinned(host(latents_), tokens, width, golden_.token_stride));
    }
  }

  void decode() {
    const auto vae = load<VaeDecoder>("vae", parse_vae_config);
    const int64_t patch = 2 * vae.config().scale();
    const Tensor picture = new_tensor({golden_.batch, golden_.height, golden_.width, 3});
    vae.decode(latents_, golden_.height / patch, golden_.width / patch, picture, cancel_);
    const std::vector<float> pixels = host(picture);
    std::vector<float> planes;  // as diffusers gives them: [batch, 3, height, width] in 0..1
    for (int64_t b = 0; b < golden_.batch; ++b)
      for (int64_t c = 0; c < 3; ++c)
        for (int64_t y = 0; y < golden_.height; y += golden_.pixel_stride)
          for (int64_t x = 0; x < golden_.width; x += golden_.pixel_stride) {
            const int64_t at = ((b * golden_.height + y) * golden_.width + x) * 3 + c;
            planes.push_back(std::clamp(pixels[static_cast<size_t>(at)] / 2 + 0.5f, 0.0f, 1.0f));
          }
    check("image", planes);
  }

  const Case& golden_;
  Kernels& kernels_;
  const Recipe& recipe_;
  DeviceSchemes schemes_;
  Progress progress_;
  CancelToken cancel_;
  Tensor prompt_, pooled_, latents_;
};

constexpr const char* kRandomModels[] = {"schnell-16x2", "dev-32x1",   "double-64x1",
                                         "single-40x1",  "batch-24x2", "vae-deep",
                                         "vae-shallow",  "long-text",  "clip-eos"};
constexpr const char* kBundledModel[] = {"emoji-apple", "emoji-pair", "emoji-wide"};

std::string test_name(const ::testing::TestParamInfo<const char*>& info) {
  std::string name = info.param;
  std::ranges::replace(name, '-', '_');
  return name;
}

class OnTheCpu : public ::testing::TestWithParam<const char*> {};

TEST_P(OnTheCpu, StagesAreThoseOfDiffusers) {
  const std::unique_ptr<Kernels> kernels = make_cpu_kernels(2);
  const Case golden(GetParam());
  const Recipe recipe = Recipe::standard(find_scheme("f32"));
  Runner(golden, *kernels, recipe).run();
}

INSTANTIATE_TEST_SUITE_P(Random, OnTheCpu, ::testing::ValuesIn(kRandomModels), test_name);
INSTANTIATE_TEST_SUITE_P(Bundled, OnTheCpu, ::testing::ValuesIn(kBundledModel), test_name);

// The models are right by themselves, whatever the CPU's kernels do.
class ByDefinition : public ::testing::TestWithParam<const char*> {};

TEST_P(ByDefinition, StagesAreThoseOfDiffusers) {
  RefKernels kernels;
  const Case golden(GetParam());
  const testing::RefScheme scheme;
  const Recipe recipe = scheme.everywhere();
  Runner(golden, kernels, recipe).run();
}

INSTANTIATE_TEST_SUITE_P(Random, ByDefinition, ::testing::ValuesIn(kRandomModels), test_name);

}  // namespace
}  // namespace fluxq

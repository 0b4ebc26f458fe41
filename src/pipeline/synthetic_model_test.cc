// Synthetic models as a whole: the architectures they claim, and values like a trained model's.
#include <cmath>

#include "base/file.h"
#include "base/test_support.h"
#include "pipeline/model_weights.h"
#include "pipeline/text_to_image.h"

namespace fluxq {
namespace {

namespace fs = std::filesystem;

const fs::path kModels = FLUXQ_SOURCE_DIR "/models/synthetic";

ModelFolder read(const std::string& name) {
  Progress progress;
  return read_model_folder(kModels / name, progress);
}

int64_t parameters(const ModelFolder& model, const std::string& part) {
  const std::unique_ptr<TensorSource> tensors = open_tensors(model, part);
  int64_t count = 0;
  for (const std::string& name : tensors->names())
    count += element_count(tensors->find(name)->shape);
  return count;
}

TEST(SyntheticModel, IsTheFullArchitecture) {
  const ModelFolder schnell = read("flux-schnell"), dev = read("flux-dev");
  EXPECT_TRUE(schnell.synthetic);
  EXPECT_EQ(schnell.name, "synthetic:flux-schnell");
  EXPECT_EQ(schnell.variant, "schnell");
  EXPECT_EQ(dev.variant, "dev");
  // The parameter counts of FLUX.1, as in models/weights_test.cc.
  EXPECT_EQ(parameters(schnell, "transformer"), 11'891'178'560);
  EXPECT_EQ(parameters(dev, "transformer"), 11'901'408'320);
  for (const ModelFolder& model : {schnell, dev}) {
    EXPECT_EQ(parameters(model, "text_encoder_2"), 4'762'310'656);
    EXPECT_EQ(parameters(model, "text_encoder"), 123'060'480);
    EXPECT_EQ(parameters(model, "vae"), 49'545'475);
    EXPECT_EQ(model.defaults.width, 1024);
    EXPECT_FLOAT_EQ(model.vae.shift, 0.1159f);
  }
  EXPECT_EQ(schnell.defaults.max_text_tokens, 256);
  EXPECT_EQ(dev.defaults.max_text_tokens, 512);
  EXPECT_EQ(dev.defaults.steps, 28);
}

TEST(SyntheticModel, ItsHashNamesItsWeights) {
  const CancelToken cancel;
  const std::string schnell = model_weights_sha256(read("flux-schnell"), 1, cancel);
  EXPECT_EQ(schnell.size(), 64u);
  EXPECT_EQ(schnell, model_weights_sha256(read("flux-schnell"), 2, cancel));
  EXPECT_NE(schnell, model_weights_sha256(read("flux-dev"), 1, cancel));
}

TEST(SyntheticModel, AnotherGeneratorIsRefused) {
  const TempFolder folder;
  fs::copy(kModels / "flux-tiny", folder.path(),
           fs::copy_options::recursive | fs::copy_options::skip_symlinks);
  write_test_file(folder / "synthetic.json", R"({"generator": 2})");
  Progress progress;
  EXPECT_FLUXQ_ERROR(read_model_folder(folder.path(), progress), unsupported,
                     "generator: expected 1");
}

double root_mean_square(const std::vector<float>& values) {
  double sum = 0;
  for (const float value : values) sum += static_cast<double>(value) * static_cast<double>(value);
  return std::sqrt(sum / static_cast<double>(values.size()));
}

// The values of all stages.
class Stages final : public StageObserver {
 public:
  void stage(std::string_view name, const Tensor& values) override {
    (*this)[std::string(name)] = to_floats(values);
  }
  std::vector<float>& operator[](const std::string& name) { return stages_[name]; }

 private:
  std::map<std::string, std::vector<float>> stages_;
};

TEST(SyntheticModel, ItsValuesAreLikeATrainedModels) {
  const std::unique_ptr<Kernels> kernels = make_cpu_kernels(2);
  Progress progress;
  const CancelToken cancel;
  for (const char* scheme : {"bf16", "int8dq"}) {
    SCOPED_TRACE(scheme);
    TextToImage pipeline(read("flux-tiny"), Recipe::standard(find_scheme(scheme)), *kernels,
                         progress, cancel);
    const GenerationDefaults& defaults = pipeline.model().defaults;
    Stages stages;
    pipeline.run({.prompt = "red apple",
                  .seeds = {7},
                  .steps = 4,
                  .width = defaults.width,
                  .height = defaults.height,
                  .guidance = 0,
                  .max_text_tokens = defaults.max_text_tokens},
                 progress, cancel, &stages);
    for (const char* name : {"prompt_embeds", "pooled_prompt_embeds", "velocity.0", "velocity.3"}) {
      const double size = root_mean_square(stages[name]);
      EXPECT_GT(size, 0.5) << name;
      EXPECT_LT(size, 2) << name;
    }
    // Neither saturated nor one colour.
    const std::vector<float>& image = stages["image"];
    size_t saturated = 0;
    double sum = 0;
    for (const float value : image) {
      saturated += value <= 0 || value >= 1;
      sum += static_cast<double>(value);
    }
    EXPECT_LT(saturated * 20, image.size());
    const double mean = sum / static_cast<double>(image.size());
    const double variance = std::pow(root_mean_square(image), 2) - mean * mean;
    EXPECT_GT(variance, 0.05 * 0.05);
  }
}

}  // namespace
}  // namespace fluxq

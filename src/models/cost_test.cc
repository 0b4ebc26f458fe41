#include "models/cost.h"

#include "models/clip/text_encoder.h"
#include "models/flux/transformer.h"
#include "models/t5/encoder.h"
#include "models/testing.h"
#include "models/vae/decoder.h"

namespace fluxq {
namespace {

// The bundled model, 256 x 256, 64 text tokens: what torch's FlopCounterMode counts.
class BundledCost : public ::testing::Test {
 protected:
  template <typename Parse>
  auto config(const char* part, Parse parse) {
    const auto file =
        std::filesystem::path(FLUXQ_SOURCE_DIR) / "models/emoji-flux" / part / "config.json";
    Progress progress;
    return parse(read_config_file(file), file.string(), progress);
  }
  static double golden(const std::string& name) {
    const Tensor count = testing::golden_units().read("flops." + name);
    return *static_cast<const double*>(count.raw());
  }
  // Elements of the weights of a model's linear and convolution layers.
  static double matrix_elements(const WeightPlan& plan) {
    double count = 0;
    for (const WeightPlan::Entry& entry : plan.entries())
      if (entry.kind != WeightPlan::Entry::Kind::tensor)
        count += static_cast<double>(element_count(entry.shape));
    return count;
  }
};

TEST_F(BundledCost, TextEncoders) {
  const T5Config t5 = config("text_encoder_2", parse_t5_config);
  EXPECT_EQ(t5_cost(t5, 1, 64).flops(), golden("t5"));
  EXPECT_EQ(t5_cost(t5, 3, 64).flops(), 3 * golden("t5"));
  EXPECT_EQ(t5_cost(t5, 3, 64).weight_elements, matrix_elements(T5Encoder::plan(t5)));
  const ClipConfig clip = config("text_encoder", parse_clip_config);
  EXPECT_EQ(clip_cost(clip, 1, 77).flops(), golden("clip"));
  EXPECT_EQ(clip_cost(clip, 1, 77).weight_elements, matrix_elements(ClipTextEncoder::plan(clip)));
}

TEST_F(BundledCost, Transformer) {
  const FluxConfig flux = config("transformer", parse_flux_config);
  Cost cost = flux_condition_cost(flux, 1, 64, 1);
  cost += flux_step_cost(flux, 1, 64, 256);
  EXPECT_EQ(cost.flops(), golden("transformer"));
  EXPECT_EQ(cost.weight_elements, matrix_elements(FluxTransformer::plan(flux)));
  EXPECT_EQ(flux_step_cost(flux, 4, 64, 256).flops(), 4 * flux_step_cost(flux, 1, 64, 256).flops());
}

TEST_F(BundledCost, Vae) {
  const VaeConfig vae = config("vae", parse_vae_config);
  EXPECT_EQ(vae_cost(vae, 1, 16, 16).flops(), golden("vae"));
  EXPECT_EQ(vae_cost(vae, 1, 16, 16).weight_elements, matrix_elements(VaeDecoder::plan(vae)));
}

TEST(Cost, FullSizeStepIsTheKnownNumber) {
  // FLUX.1 at 1024 x 1024 with 512 text tokens: 19 double and 38 single blocks of 3072 on 4608
  // tokens, 12 D^2 multiplications per token and block of either kind.
  const FluxConfig flux;
  const double tokens = 4608, d = 3072;
  const Cost cost = flux_step_cost(flux, 1, 512, 4096);
  const double blocks = 2 * tokens * d * d * (19 * 12 + 38 * 12);
  const double ends = 2 * 4096 * (64 * d) * 2;
  EXPECT_DOUBLE_EQ(cost.linear_flops, blocks + ends);
  EXPECT_DOUBLE_EQ(cost.attention_flops, 57 * 4 * tokens * tokens * d);
  // Each activation of a linear is at least read and written once.
  EXPECT_GT(cost.activation_elements, 57 * 2 * 12 * tokens * d);
}

}  // namespace
}  // namespace fluxq

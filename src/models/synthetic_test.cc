#include "models/synthetic.h"

#include <cmath>
#include <fstream>
#include <sstream>

#include "base/sha256.h"
#include "kernels/ref/ref_kernels.h"
#include "models/clip/text_encoder.h"
#include "models/flux/transformer.h"
#include "models/t5/encoder.h"
#include "models/testing.h"
#include "models/vae/decoder.h"

namespace fluxq {
namespace {

using testing::golden_folder;

// flux-tiny's plans, by part.
std::map<std::string, WeightPlan> tiny_plans() {
  const std::filesystem::path model =
      std::filesystem::path(FLUXQ_SOURCE_DIR) / "models/synthetic/flux-tiny";
  Progress progress;
  const auto config = [&](const std::string& part) {
    return read_config_file(model / part / "config.json");
  };
  return {
      {"transformer",
       FluxTransformer::plan(parse_flux_config(config("transformer"), "", progress))},
      {"text_encoder_2", T5Encoder::plan(parse_t5_config(config("text_encoder_2"), "", progress))},
      {"text_encoder",
       ClipTextEncoder::plan(parse_clip_config(config("text_encoder"), "", progress))},
      {"vae", VaeDecoder::plan(parse_vae_config(config("vae"), "", progress))}};
}

// Every tensor, name, shape and bit, against tools/synthetic.py with diffusers' own modules.
TEST(Synthetic, HoldsWhatTorchHolds) {
  std::string ours, line;
  for (const auto& [part, plan] : tiny_plans()) {
    const SyntheticTensors tensors("", part, plan);
    for (const std::string& name : tensors.names()) {
      const Tensor values = tensors.read(name);
      ASSERT_EQ(values.dtype(), DType::bf16);
      const std::string_view bytes(static_cast<const char*>(values.raw()),
                                   static_cast<size_t>(values.bytes()));
      ours += fmt::format("{}.{} {} {}\n", part, name, fmt::join(values.shape(), ","),
                          sha256_hex(bytes));
    }
  }
  EXPECT_EQ(ours, read_text_file(golden_folder() / "synthetic/flux-tiny.txt", 1 << 20));
}

TEST(Synthetic, ADeviceFillsWhatIsRead) {
  const std::map<std::string, WeightPlan> plans = tiny_plans();
  const SyntheticTensors tensors("", "transformer", plans.at("transformer"));
  const std::string name = "transformer_blocks.0.attn.norm_q.weight";
  const std::optional<RandomValues> values = tensors.random_values(name);
  ASSERT_TRUE(values);
  const Tensor read = tensors.read(name);
  for (const std::unique_ptr<Kernels>& kernels : {make_cpu_kernels(1), make_ref_kernels()}) {
    const Tensor filled = kernels->allocate(DType::bf16, read.shape());
    kernels->fill_random(filled, values->key, values->offset, values->spread);
    EXPECT_EQ(to_floats(filled), to_floats(read));
  }
  EXPECT_FLUXQ_ERROR(tensors.read("attn"), not_found, "attn");
}

TEST(Synthetic, LayersHaveUnitGainAndNormsAreNearOne) {
  const RandomValues layer = synthetic_values("transformer.x_embedder.weight", {256, 64});
  EXPECT_EQ(layer.offset, 0);
  EXPECT_EQ(layer.spread, 0.125f);
  const RandomValues conv = synthetic_values("vae.decoder.conv_in.weight", {32, 16, 3, 3});
  EXPECT_EQ(conv.spread, static_cast<float>(1 / std::sqrt(16.0 * 9)));
  const RandomValues norm = synthetic_values("vae.decoder.conv_norm_out.weight", {32});
  EXPECT_EQ(norm.offset, 1);
  // Keys are of names, with their part.
  EXPECT_NE(layer.key, synthetic_values("vae.x_embedder.weight", {256, 64}).key);
}

}  // namespace
}  // namespace fluxq

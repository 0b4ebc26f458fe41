#include "models/vae/decoder.h"
#include "checkpoint/tensor_store.h"

#include "kernels/testing.h"
#include "models/testing.h"

namespace fluxq {
namespace {

using testing::random_tensor;
using testing::same_bytes;

// The bundled model's decoder.
class VaeDecoderTest : public ::testing::Test {
 protected:
  VaeDecoder load() {
    const auto folder = std::filesystem::path(FLUXQ_SOURCE_DIR) / "models/emoji-flux/vae";
    const TensorStore store(folder);
    WeightLoader loader(store, "vae", recipe_, schemes_, progress_, cancel_);
    return {parse_vae_config(read_config_file(folder / "config.json"), "vae", progress_), loader};
  }

  const Recipe recipe_ = Recipe::standard(find_scheme("bf16"));
  std::unique_ptr<Kernels> kernels_ = make_cpu_kernels(2);
  DeviceSchemes schemes_{*kernels_};
  Progress progress_;
  CancelToken cancel_;
  VaeDecoder decoder_ = load();
};

TEST_F(VaeDecoderTest, TakesTheScratchItSays) {
  const int64_t side = 24;  // 384 x 384 pixels
  const VaeConfig& config = decoder_.config();
  const Tensor latents = random_tensor(DType::bf16, {1, side * side, 64}, 1);
  const Tensor picture = Tensor::on_host(DType::bf16, {1, 16 * side, 16 * side, 3});
  decoder_.decode(latents, side, side, picture, cancel_);
  const VaeDecoder::Scratch scratch = VaeDecoder::scratch(config, 1, side, side);
  const int64_t said = dtype_bytes(DType::bf16) * std::max(scratch.middle, scratch.resnets);
  const int64_t taken = kernels_->arena().peak_bytes();
  // On top, each of the two threads has scratch.
  EXPECT_GE(taken, said);
  EXPECT_LE(taken, said + (2 << 20));
}

TEST_F(VaeDecoderTest, ScratchIsTwoOfTheLargestActivations) {
  VaeConfig flux;  // at 1024 x 1024: 256 channels where it has 128 later
  constexpr int64_t kLargest = 1024 * 1024 * 256, kMiddle = 128 * 128 * 512;
  flux.mid_attention = false;
  VaeDecoder::Scratch scratch = VaeDecoder::scratch(flux, 1, 64, 64);
  EXPECT_EQ(scratch.resnets, 2 * kLargest);
  EXPECT_EQ(scratch.middle, kLargest + 2 * kMiddle);
  EXPECT_EQ(scratch.upsampling, kLargest + kLargest / 2 + 513 * 513 * 256);
  flux.mid_attention = true;
  scratch = VaeDecoder::scratch(flux, 1, 64, 64);
  EXPECT_EQ(scratch.resnets, 2 * kLargest);
  EXPECT_EQ(scratch.middle, kLargest + 5 * kMiddle);
}

TEST_F(VaeDecoderTest, ALargeBatchIsDecodedInPortions) {
  const int64_t side = 16, batch = 6;  // four pictures of 256 x 256 at once
  const VaeConfig& config = decoder_.config();
  const auto resnets = [&](int64_t pictures) {
    return VaeDecoder::scratch(config, pictures, side, side).resnets;
  };
  EXPECT_EQ(resnets(4), 4 * resnets(1));
  EXPECT_EQ(resnets(batch), resnets(4));
  const Tensor one = random_tensor(DType::bf16, {1, side * side, 64}, 1);
  const Tensor all = Tensor::on_host(DType::bf16, {batch, side * side, 64});
  for (int64_t i = 0; i < batch; ++i)
    std::memcpy(Rows(all).item(i).data, one.raw(), static_cast<size_t>(one.bytes()));
  const Tensor pictures = Tensor::on_host(DType::bf16, {batch, 16 * side, 16 * side, 3});
  decoder_.decode(all, side, side, pictures, cancel_);
  for (int64_t i = 1; i < batch; ++i)
    EXPECT_TRUE(same_bytes(pictures.slice(0, 1), pictures.slice(i, i + 1))) << i;
}

TEST_F(VaeDecoderTest, StopsWhenCancelledAndGivesItsScratchBack) {
  const Tensor latents = random_tensor(DType::bf16, {1, 4, 64}, 1);
  const Tensor picture = Tensor::on_host(DType::bf16, {1, 32, 32, 3});
  const auto next = [&] {
    Arena::Scope scope(kernels_->arena());
    return kernels_->arena().take(DType::f32, {1}).raw();
  };
  const void* before = next();
  cancel_.request();
  EXPECT_FLUXQ_ERROR(decoder_.decode(latents, 2, 2, picture, cancel_), cancelled, "");
  EXPECT_EQ(next(), before);
}

TEST_F(VaeDecoderTest, ShapesThatDoNotFitAreRefused) {
  const Tensor latents = random_tensor(DType::bf16, {1, 4, 64}, 1);
  const Tensor picture = Tensor::on_host(DType::bf16, {1, 32, 48, 3});
  EXPECT_FLUXQ_ERROR(decoder_.decode(latents, 2, 2, picture, cancel_), internal, "[1, 32, 32, 3]");
}

}  // namespace
}  // namespace fluxq

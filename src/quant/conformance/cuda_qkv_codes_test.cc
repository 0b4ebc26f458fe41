// Products that write q, k and v as the codes of 8-bit attention: beside the pass that makes them
// from rows, and what attention makes of either.

#include <cmath>

#include "kernels/cuda/attention_int8.h"
#include "kernels/cuda/gemm_qkv.h"
#include "kernels/cuda/gemm_tiles.h"
#include "kernels/testing.h"
#include "quant/conformance/cuda_qkv_fixture.h"
#include "quant/formats/e4m3.h"

namespace fluxq::conformance {
namespace {

using cuda::Int8Codes;
using testing::random_tensor, testing::same_bytes, testing::values, testing::within;

constexpr int kCodePoison = 0x55;

class CudaQkvCodes : public CudaQkvFixture {};
FLUXQ_QKV_TESTS(CudaQkvCodes);

/// On the host.
struct Codes {
  Tensor q, k, q_scale, k_scale, v;
};
/// Rows of q and k that do not exist have any codes: here zeros.
Codes download(CudaKernels& kernels, const QkvLayer& layer, const Int8Codes& codes) {
  Codes all = {kernels.download(codes.q), kernels.download(codes.k),
               kernels.download(codes.q_scale), kernels.download(codes.k_scale),
               codes.v.empty() ? Tensor() : kernels.download(codes.v)};
  const int64_t rows_of_head = all.q.dim(2) * kTileRows, rows = layer.c.before + layer.c.rows;
  for (int64_t row = 0; row < all.q_scale.elements(); ++row) {
    if (row % rows_of_head < rows) continue;
    std::fill_n(all.q.data<int8_t>() + row * kHeadDim, kHeadDim, int8_t{0});
    std::fill_n(all.k.data<int8_t>() + row * kHeadDim, kHeadDim, int8_t{0});
    all.q_scale.data<float>()[row] = 0;
  }
  return all;
}

/// The codes that attention's own pass makes of what the product alone writes.
Codes encode(CudaKernels& kernels, const QkvLayer& layer, AttentionPrecision precision) {
  Arena::Scope scope(kernels.arena());
  const Tensor plain = layer.wide(layer.c.batch);
  layer.multiply_plainly(layer.on->prepare({.x = layer.x}), plain);
  const JointAttention args = layer.attention(plain, precision);
  const Int8Codes codes = cuda::take_int8_codes(kernels, args);
  cuda::encode_int8(kernels, args, codes);
  return download(kernels, layer, codes);
}

/// What a product with codes leaves: rows and codes, on the host.
struct Coded {
  Tensor wide;
  Codes codes;
};
Coded multiply_into_codes(CudaKernels& kernels, const QkvLayer& layer, const Rows& x,
                          AttentionPrecision precision) {
  Arena::Scope scope(kernels.arena());
  const Prepared input = layer.on->prepare({.x = x});
  const Tensor wide = layer.wide(x.batch);
  JointAttention args = layer.attention(wide, precision);
  args.codes = kernels.attention_codes(args);
  const auto& codes = dynamic_cast<const Int8Codes&>(*args.codes);
  for (const Tensor& tensor : {codes.q, codes.k, codes.q_scale, codes.k_scale, codes.v})
    if (!tensor.empty()) layer.poison(tensor, kCodePoison);
  layer.multiply(input, args, wide);
  EXPECT_TRUE(args.streams[layer.index()].normed);
  return {kernels.download(wide), download(kernels, layer, codes)};
}

/// The scale and the 128 codes of each row of tiles.
struct CodesOfRow {
  const int8_t* codes;
  float scale;
};
CodesOfRow row_of(const Tensor& codes, const Tensor& scale, int64_t row) {
  const int64_t rows_of_scale = codes.elements() / kHeadDim / scale.elements();
  return {codes.data<int8_t>() + row * kHeadDim, scale.data<float>()[row / rows_of_scale]};
}

// encode_int8() reads q and k as they were rounded to bf16, which moves a value by about 0.16 % of
// its root mean square and a code, 1 / 127 of a row's largest, by 0.08 of a step: about 6 % of them
// round otherwise.
TEST_P(CudaQkvCodes, WritesTheCodesOfAttention) {
  for_each_case([&](const QkvLayer& layer) {
    const QkvCase& c = layer.c;
    const Codes expected = encode(kernels(), layer, AttentionPrecision::int8);
    const Coded got = multiply_into_codes(kernels(), layer, layer.x, AttentionPrecision::int8);
    expect_poison_beside(layer, got.wide, 2 * layer.width);

    const int64_t tiles = expected.q.dim(2), first_row = c.before;
    constexpr double kMostMoved = 0.08;
    for (const bool is_k : {false, true}) {
      const Tensor &ours = is_k ? got.codes.k : got.codes.q,
                   &our_scale = is_k ? got.codes.k_scale : got.codes.q_scale,
                   &theirs = is_k ? expected.k : expected.q,
                   &their_scale = is_k ? expected.k_scale : expected.q_scale;
      int64_t compared = 0, moved = 0, far = 0, touched = 0;
      std::vector<double> scales, expected_scales, tolerance;
      for (int64_t row = 0; row < ours.elements() / kHeadDim; ++row) {
        const int64_t of_picture = row % (tiles * kTileRows);
        const CodesOfRow a = row_of(ours, our_scale, row), e = row_of(theirs, their_scale, row);
        if (of_picture < first_row) {
          for (int64_t j = 0; j < kHeadDim; ++j) touched += a.codes[j] != kCodePoison;
          continue;
        }
        if (of_picture >= first_row + c.rows) continue;  // any codes
        scales.push_back(a.scale);
        expected_scales.push_back(e.scale);
        tolerance.push_back(0x1p-7 * e.scale);
        for (int64_t j = 0; j < kHeadDim; ++j) {
          const int difference = std::abs(a.codes[j] - e.codes[j]);
          ++compared;
          moved += difference > 0;
          far += difference > 1;
        }
      }
      SCOPED_TRACE(is_k ? "k" : "q");
      EXPECT_TRUE(within(scales, expected_scales, tolerance));
      EXPECT_EQ(touched, 0) << "codes of rows that are not the product's";
      EXPECT_EQ(far, 0) << "codes more than a step away, of " << compared;
      EXPECT_LE(static_cast<double>(moved), kMostMoved * static_cast<double>(compared));
      EXPECT_EQ(compared, c.batch * c.heads * c.rows * kHeadDim);
    }
  });
}

// encode_int8() reads v as it was rounded to bf16, by up to 2^-9 of it, where codes are 2^-3 to
// 2^-4 apart (below 2^-6, 2^-9): a few percent of them round otherwise, to the next code. Sums of
// e4m3 products differ besides.
TEST_P(CudaQkvCodes, WritesTheCodesOfValues) {
  for_each_case([&](const QkvLayer& layer) {
    const QkvCase& c = layer.c;
    const Tensor expected = encode(kernels(), layer, AttentionPrecision::fp8).v;
    const Coded got = multiply_into_codes(kernels(), layer, layer.x, AttentionPrecision::fp8);
    expect_poison_beside(layer, got.wide, 3 * layer.width);

    const auto *ours = static_cast<const uint8_t*>(got.codes.v.raw()),
               *theirs = static_cast<const uint8_t*>(expected.raw());
    const int64_t rows_of_head = expected.dim(2) * kTileRows;
    int64_t compared = 0, moved = 0, far = 0, touched = 0, missing = 0;
    for (int64_t i = 0; i < expected.elements(); ++i) {
      const int64_t line = i / kTileRows, piece = i % kTileRows / 16 ^ line % 8, in_16 = i % 16;
      const int64_t row = line / kHeadDim * kTileRows % rows_of_head + piece * 16 + in_16 / 4 * 2 +
                          in_16 % 4 / 2 * 8 + in_16 % 2;
      if (row < c.before) {
        touched += ours[i] != kCodePoison;
      } else if (row >= c.before + c.rows) {
        missing += ours[i] != 0;
      } else {
        const double theirs_value = e4m3_decode(theirs[i]);
        const double difference = std::abs(e4m3_decode(ours[i]) - theirs_value);
        const double step = std::max(is_e4m3() ? 0x1p-6 : 0x1p-9, 0x1p-3 * std::abs(theirs_value));
        ++compared;
        moved += difference != 0;      // true for NaN
        far += !(difference <= step);  // likewise
      }
    }
    EXPECT_EQ(touched, 0) << "codes of rows that are not the product's";
    EXPECT_EQ(missing, 0) << "codes of rows that do not exist: expected zeros";
    EXPECT_EQ(far, 0) << "codes more than a step away, of " << compared;
    EXPECT_LE(static_cast<double>(moved), 0.05 * static_cast<double>(compared));
    EXPECT_EQ(compared, c.batch * c.heads * c.rows * kHeadDim);
  });
}

TEST_P(CudaQkvCodes, APictureIsWhatItIsAlone) {
  const auto check_with = [&](const QkvLayer& layer, AttentionPrecision precision) {
    const Coded all = multiply_into_codes(kernels(), layer, layer.x, precision);
    for (int64_t b = 0; layer.c.batch > 1 && b < layer.c.batch; ++b) {
      const Coded alone = multiply_into_codes(kernels(), layer, Rows(layer.x).item(b), precision);
      if (precision == AttentionPrecision::fp8) {
        EXPECT_TRUE(same_bytes(all.codes.v.slice(b, b + 1), alone.codes.v)) << b;
      }
      EXPECT_TRUE(same_bytes(all.wide.slice(b, b + 1), alone.wide)) << "v of picture " << b;
      EXPECT_TRUE(same_bytes(all.codes.q.slice(b, b + 1), alone.codes.q)) << b;
      EXPECT_TRUE(same_bytes(all.codes.k.slice(b, b + 1), alone.codes.k)) << b;
      EXPECT_TRUE(same_bytes(all.codes.q_scale.slice(b, b + 1), alone.codes.q_scale)) << b;
      EXPECT_TRUE(same_bytes(all.codes.k_scale.slice(b, b + 1), alone.codes.k_scale)) << b;
    }
  };
  const auto check = [&](const QkvLayer& layer) {
    check_with(layer, AttentionPrecision::int8);
    check_with(layer, AttentionPrecision::fp8);
  };
  for_each_case(check);
  // All pictures' rows are enough for bands of tiles, one picture's are not.
  constexpr QkvCase kBands[] = {{3, 0, 1024, 8, 8320}};
  const auto rows_at_once = [&](int64_t pictures) {
    const QkvCase& c = kBands[0];
    return cuda::rows_of_tiles_at_once(pictures * c.rows, 3 * c.heads * kHeadDim, c.in,
                                       cuda::kQkvTileRows, cuda::kQkvTileColumns);
  };
  ASSERT_EQ(rows_at_once(3), 8);
  ASSERT_EQ(rows_at_once(1), 1);
  for_each_case(check, kBands);
}

// A NaN is not lost among whole numbers: it reaches the scales of its row of q and of its tile of
// k, which attention multiplies scores with, and no other head's; of v, the codes of its column.
TEST_P(CudaQkvCodes, ANanReachesTheScalesAndValues) {
  QkvLayer layer(kernels(), scheme(), {1, 128, 100, 2, 256});
  const Tensor bias = kernels().download(layer.bias);
  bf16* const of_q = bias.data<bf16>();
  bf16 *const of_k = of_q + layer.width, *const of_v = of_k + layer.width;
  of_q[5].bits = of_k[kHeadDim + 7].bits = of_v[3].bits = kRowsPoison;
  layer.bias = kernels().upload(bias);
  const Coded got = multiply_into_codes(kernels(), layer, layer.x, AttentionPrecision::int8);
  const float *const q_scale = got.codes.q_scale.data<float>(), *const k_scale =
                                                                    got.codes.k_scale.data<float>();
  for (int64_t row = kTileRows; row < kTileRows + layer.c.rows; ++row) {
    EXPECT_TRUE(std::isnan(q_scale[row])) << row;
    EXPECT_TRUE(std::isfinite(q_scale[2 * kTileRows + row])) << row;
    const bf16* const v = Rows(got.wide).row<bf16>(0, row) + 2 * layer.width;
    EXPECT_TRUE(std::isnan(static_cast<float>(v[3])) && !std::isnan(static_cast<float>(v[4])))
        << row;
  }
  EXPECT_TRUE(std::isfinite(k_scale[1]));
  EXPECT_TRUE(std::isnan(k_scale[2 + 1]));

  const Tensor codes =
      multiply_into_codes(kernels(), layer, layer.x, AttentionPrecision::fp8).codes.v;
  int64_t of_column = 0, elsewhere = 0;
  for (int64_t i = 0; i < codes.elements(); ++i) {
    const int64_t line = i / kTileRows;  // 2 tiles of a head
    if (std::isnan(e4m3_decode(static_cast<const uint8_t*>(codes.raw())[i])))
      ++(line < 2 * kHeadDim && line % kHeadDim == 3 ? of_column : elsewhere);
  }
  EXPECT_EQ(of_column, layer.c.rows);
  EXPECT_EQ(elsewhere, 0);
}

// Attention that finds its codes there gives what attention that makes them does, but for their
// roundings.
TEST_P(CudaQkvCodes, AttentionTakesItsCodes) {
  for (const AttentionPrecision precision : {AttentionPrecision::int8, AttentionPrecision::fp8}) {
    const QkvLayer layer(kernels(), scheme(), {2, 0, 300, 2, 256});
    Arena::Scope scope(kernels().arena());
    const Prepared input = layer.on->prepare({.x = layer.x});
    const auto attended = [&](bool fused) {
      const Tensor wide = layer.wide(layer.c.batch);
      const Tensor out = kernels().allocate(DType::bf16, {2, 300, layer.width});
      JointAttention args = layer.attention(wide, precision);
      args.out = out;
      if (fused) {
        args.codes = kernels().attention_codes(args);
        EXPECT_TRUE(args.codes);
        layer.multiply(input, args, wide);
      } else {
        layer.multiply_plainly(input, wide);
      }
      kernels().joint_attention(args);
      return values(kernels().download(out));
    };
    const std::vector<double> got = attended(true), expected = attended(false);
    double error = 0, size = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      error += (got[i] - expected[i]) * (got[i] - expected[i]);
      size += expected[i] * expected[i];
    }
    EXPECT_LE(std::sqrt(error / size), 0.03);  // false for NaN
  }
}

class CudaAttentionCodes : public CudaFixture {};

// One stream's codes are there, and its rows hold nothing; the other's are made.
TEST_F(CudaAttentionCodes, OfSomeStreamsMayBeThere) {
  constexpr int64_t kBatch = 2, kText = 128, kRows = 300, kHeads = 2, kWidth = kHeads * kHeadDim;
  const auto upload = [&](Shape shape, uint64_t seed, double scale, double offset) {
    return kernels().upload(random_tensor(DType::bf16, std::move(shape), seed, scale, offset));
  };
  const Tensor rope = kernels().upload(random_tensor(DType::f32, {kRows, kHeadDim / 2, 2}, 1));
  for (const AttentionPrecision precision : {AttentionPrecision::int8, AttentionPrecision::fp8}) {
    const auto attended = [&](int coded) {
      Arena::Scope scope(kernels().arena());
      const Tensor wide = upload({kBatch, kRows, 3 * kWidth}, 2, 1, 0);
      const Tensor out = kernels().allocate(DType::bf16, {kBatch, kRows, kWidth});
      JointAttention args = {.q = Rows(wide).columns(0, kWidth),
                             .k = Rows(wide).columns(kWidth, kWidth),
                             .v = Rows(wide).columns(2 * kWidth, kWidth),
                             .out = out,
                             .rope = rope,
                             .eps = kQkvEps,
                             .heads = kHeads,
                             .scale = 0.1f,
                             .precision = precision};
      for (const auto& [first, count] : {std::pair(int64_t{0}, kText), {kText, kRows - kText}})
        args.streams.push_back(
            {.first = first,
             .count = count,
             .q_weight = upload({kHeadDim}, 3 + static_cast<uint64_t>(first), 0.3, 1),
             .k_weight = upload({kHeadDim}, 4 + static_cast<uint64_t>(first), 0.3, 1)});
      args.codes = kernels().attention_codes(args);
      EXPECT_TRUE(args.codes);
      if (coded >= 0) {
        cuda::encode_int8(kernels(), args, dynamic_cast<const Int8Codes&>(*args.codes));
        JointAttention::Stream& stream = args.streams[static_cast<size_t>(coded)];
        stream.normed = true;
        const Tensor nan = Tensor::on_host(DType::bf16, {kBatch, stream.count, 2 * kWidth});
        for (int64_t i = 0; i < nan.elements(); ++i) nan.data<bf16>()[i].bits = kRowsPoison;
        kernels().produce({.x = kernels().upload(nan)},
                          Rows(wide).middle(stream.first, stream.count).columns(0, 2 * kWidth));
      }
      kernels().joint_attention(args);
      return kernels().download(out);
    };
    const Tensor expected = attended(-1);
    EXPECT_TRUE(same_bytes(attended(0), expected));
    EXPECT_TRUE(same_bytes(attended(1), expected));
  }
}

}  // namespace
}  // namespace fluxq::conformance

/// torch's CPU normal generator, written out again. torch draws 32-bit Mersenne Twister words and
/// turns them into normals by Box-Muller in two ways: below 16 values in double, one pair at a time
/// (ATen/core/DistributionsHelper.h); else in float, eight pairs at a time
/// (ATen/native/cpu/DistributionTemplates.h). The second way evaluates log, sin and cos by the
/// polynomials of the Cephes library with AVX2 instructions, also on AVX-512 machines, and its
/// compiler fused most multiply-add pairs. Which ones was found by comparing with torch; here they
/// are spelled as std::fma, which rounds once on every processor. (torch on a processor without
/// AVX2 uses libm instead and differs in last bits; we give the AVX2 values everywhere.)
#include "sampling/noise.h"

#include <array>
#include <bit>
#include <cmath>
#include <numbers>
#include <random>

#include "base/error.h"
#include "base/simd.h"

namespace fluxq {
namespace {

// With FMA instructions the loop over pairs is a vector loop, without them std::fma is a function
// call. The values are the same, since a fused multiply-add rounds once either way.
#ifdef FLUXQ_SANITIZED
#define FLUXQ_SIMD_LOOP  // clang refuses a loop that it cannot make one
#else
#define FLUXQ_SIMD_LOOP _Pragma("omp simd")
#endif

/// Value at x of the polynomial with `coefficients`, highest power first, one rounding per step.
template <size_t N>
FLUXQ_INLINE float horner(const std::array<float, N>& coefficients, float x) {
  float y = coefficients[0];
  for (size_t i = 1; i < N; ++i) y = std::fma(y, x, coefficients[i]);
  return y;
}

/// ln(x) for normal x > 0 (Cephes logf): x = m 2^e with m in [sqrt(1/2), sqrt(2)), then
/// ln(1 + f) = f - f^2/2 + f^3 P(f); ln(2) in two parts.
FLUXQ_INLINE float cephes_log(float x) {
  constexpr std::array<float, 9> kP = {7.0376836292e-2f,  -1.1514610310e-1f, 1.1676998740e-1f,
                                       -1.2420140846e-1f, 1.4249322787e-1f,  -1.6668057665e-1f,
                                       2.0000714765e-1f,  -2.4999993993e-1f, 3.3333331174e-1f};
  constexpr float kSqrtHalf = 0.707106781186547524f;
  constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  float e = static_cast<float>(static_cast<int>(bits >> 23) - 126);
  const float m = std::bit_cast<float>((bits & 0x007fffffu) | 0x3f000000u);  // in [1/2, 1)
  float f = m - 1.0f;
  if (m < kSqrtHalf) {
    e -= 1.0f;
    f += m;
  }
  const float f2 = f * f;
  float y = std::fma(horner(kP, f) * f, f2, e * kLn2Low);
  y = std::fma(f2, -0.5f, y);
  return std::fma(e, kLn2High, f + y);
}

struct SinCos {
  float sin, cos;
};

/// sin and cos of 0 <= x < 8192 (Cephes sinf, cosf): x - j pi/4 for the nearest even j, pi/4 in
/// three parts, then one polynomial each.
FLUXQ_INLINE SinCos cephes_sincos(float x) {
  constexpr std::array<float, 3> kSin = {-1.9515295891e-4f, 8.3321608736e-3f, -1.6666654611e-1f};
  constexpr std::array<float, 3> kCos = {2.443315711809948e-5f, -1.388731625493765e-3f,
                                         4.166664568298827e-2f};
  constexpr float kFourOverPi = 1.27323954473516f;
  const int octant = (static_cast<int>(x * kFourOverPi) + 1) & ~1;
  const float j = static_cast<float>(octant);
  x = std::fma(j, -0.78515625f, x);
  x = std::fma(j, -2.4187564849853515625e-4f, x);
  x = std::fma(j, -3.77489497744594108e-8f, x);
  const float z = x * x;
  const float cosine = std::fma(horner(kCos, z) * z, z, -(z * 0.5f)) + 1.0f;
  const float sine = std::fma(horner(kSin, z) * z, x, x);
  SinCos result = (octant & 2) == 0 ? SinCos{sine, cosine} : SinCos{cosine, sine};
  if (octant & 4) result.sin = -result.sin;
  if (((octant + 2) & 4) != 0) result.cos = -result.cos;
  return result;
}

/// Uniforms in [0, 1) to normals in place, in groups of 16: values k and k + 8 make a pair.
FLUXQ_SIMD void box_muller(float* values, size_t groups) {
  constexpr float kTwoPi = static_cast<float>(2.0 * std::numbers::pi);
  for (size_t group = 0; group < groups; ++group, values += 16) {
    FLUXQ_SIMD_LOOP
    for (int k = 0; k < 8; ++k) {
      const float radius = std::sqrt(-2.0f * cephes_log(1.0f - values[k]));
      const SinCos turn = cephes_sincos(kTwoPi * values[k + 8]);
      values[k] = radius * turn.cos + 0.0f;  // torch's "times 1 plus mean": -0 becomes 0
      values[k + 8] = radius * turn.sin + 0.0f;
    }
  }
}

/// 24 bits of one word, in [0, 1).
float uniform_float(std::mt19937& words) {
  return static_cast<float>(words() & 0xffffffu) * 0x1p-24f;
}

/// 53 bits of two words, the first one high, in [0, 1).
double uniform_double(std::mt19937& words) {
  const uint64_t high = words();
  const uint64_t low = words();
  return static_cast<double>((high << 32 | low) & ((uint64_t{1} << 53) - 1)) * 0x1p-53;
}

void draw_few(std::mt19937& words, std::span<float> out) {
  for (size_t i = 0; i < out.size(); i += 2) {
    const double turn = 2.0 * std::numbers::pi * uniform_double(words);
    const double radius = std::sqrt(-2.0 * std::log1p(-uniform_double(words)));
    out[i] = static_cast<float>(radius * std::cos(turn));
    if (i + 1 < out.size()) out[i + 1] = static_cast<float>(radius * std::sin(turn));
  }
}

}  // namespace

void draw_noise(uint64_t seed, std::span<float> out) {
  std::mt19937 words(static_cast<uint32_t>(seed));
  if (out.size() < 16) return draw_few(words, out);
  for (float& value : out) value = uniform_float(words);
  box_muller(out.data(), out.size() / 16);
  if (out.size() % 16 != 0) {  // torch draws the last 16 again, over values already made
    const std::span<float> tail = out.last(16);
    for (float& value : tail) value = uniform_float(words);
    box_muller(tail.data(), 1);
  }
}

void draw_batch_noise(uint64_t seed, int64_t batch, std::span<float> out) {
  if (batch < 1 || out.size() % static_cast<size_t>(batch) != 0)
    fail(ErrorCode::bad_argument, "noise: expected a multiple of {} pictures, got {} values", batch,
         out.size());
  const size_t item_size = out.size() / static_cast<size_t>(batch);
  for (int64_t i = 0; i < batch; ++i)
    draw_noise(seed + static_cast<uint64_t>(i), out.subspan(i * item_size, item_size));
}

}  // namespace fluxq

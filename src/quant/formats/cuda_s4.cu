// int4wo's weights: quantized when they are loaded, expanded to bf16 before they are multiplied.

#include "kernels/cuda/check.h"
#include "kernels/cuda/device_values.cuh"
#include "kernels/operands.h"
#include "quant/formats/cuda_quantize.h"
#include "quant/formats/s4.h"

namespace fluxq::cuda {
namespace {

constexpr int kGroup = static_cast<int>(kS4Group);
constexpr int kLanes = kGroup / kChunk;  // threads of a group, 8 values each
constexpr int kRows = 16;                // of a block: a block has one group of each
constexpr float kMidPoint = 8;

// What a bf16 operation of torch does: compute in f32, round once.
__device__ float difference(float a, float b) { return rounded_through<bf16>(__fsub_rn(a, b)); }
__device__ float sum(float a, float b) { return rounded_through<bf16>(__fadd_rn(a, b)); }
__device__ float product(float a, float b) { return rounded_through<bf16>(__fmul_rn(a, b)); }
__device__ float quotient(float a, float b) { return rounded_through<bf16>(__fdiv_rn(a, b)); }

// f(value, other) over the 16 threads of a group.
template <typename F>
__device__ float over_group(float value, const F& f) {
#pragma unroll
  for (int offset = kLanes / 2; offset > 0; offset /= 2)
    value = f(value, __shfl_xor_sync(0xffffffffu, value, offset));
  return value;
}

struct Parts {
  uint32_t* qdata;           // [out, in / 2] bytes: eight codes to a word
  bf16 *scale, *zero_point;  // [in / 128, out]
  int64_t out, in;
};

// A thread's eight weights: row and first column; the place of their scale.
struct Place {
  int64_t row, col, scale;
  bool outside;
  __device__ explicit Place(const Parts& parts) {
    const int64_t group = blockIdx.x % (parts.in / kGroup);
    row = blockIdx.x / (parts.in / kGroup) * kRows + threadIdx.x / kLanes;
    col = group * kGroup + static_cast<int64_t>(threadIdx.x % kLanes) * kChunk;
    scale = group * parts.out + row;
    outside = row >= parts.out;
  }
};

// s4_scale(), s4_encode() and s4_store() of a group.
template <bool kAligned>
__global__ void quantize_kernel(const bf16* weight, Parts parts) {
  const Place at(parts);
  float v[kChunk] = {};
  if (!at.outside) load_chunk<kAligned>(weight + at.row * parts.in + at.col, kChunk, v);
  float low = v[0], high = v[0];
#pragma unroll
  for (int i = 1; i < kChunk; ++i) low = fminf(low, v[i]), high = fmaxf(high, v[i]);
  low = over_group(low, [](float a, float b) { return fminf(a, b); });
  high = over_group(high, [](float a, float b) { return fmaxf(a, b); });
  const float scale = fmaxf(quotient(difference(high, low), 15.0f), 0x1p-126f);
  const float zero_point = sum(low, product(scale, kMidPoint));
  const float lowest = difference(zero_point, product(scale, kMidPoint));
  uint32_t codes = 0;
#pragma unroll
  for (int i = 0; i < kChunk; ++i) {
    const float steps = fminf(fmaxf(quotient(difference(v[i], lowest), scale), 0.0f), 15.0f);
    codes |= (static_cast<uint32_t>(__float2int_rn(steps)) ^ 8u) << (4 * i);
  }
  if (at.outside) return;
  parts.qdata[(at.row * parts.in + at.col) / kChunk] = codes;
  if (threadIdx.x % kLanes != 0) return;
  parts.scale[at.scale] = round_to<bf16>(scale);
  parts.zero_point[at.scale] = round_to<bf16>(zero_point);
}

// s4_load() and s4_decode() of a group.
template <bool kAligned>
__global__ void expand_kernel(Parts parts, Rows values) {
  const Place at(parts);
  if (at.outside) return;
  const uint32_t codes = parts.qdata[(at.row * parts.in + at.col) / kChunk];
  const float scale = to_float(parts.scale[at.scale]);
  const float zero_point = to_float(parts.zero_point[at.scale]);
  float v[kChunk];
#pragma unroll
  for (int i = 0; i < kChunk; ++i) {
    const float code = static_cast<float>((codes >> (4 * i) & 15u) ^ 8u);
    v[i] = __fadd_rn(product(code - kMidPoint, scale), zero_point);
  }
  store_chunk<kAligned>(v, kChunk, row_of<bf16>(values, 0, at.row) + at.col);
}

Parts checked(int64_t out, int64_t in, const Tensor& qdata, const Tensor& scale,
              const Tensor& zero_point) {
  if (in % kS4Group != 0)
    fail(ErrorCode::internal, "int4 on the GPU: expected a multiple of {} columns, got {}",
         kS4Group, in);
  check_tensor("int4 on the GPU: qdata", qdata, DType::i8, {out, in / 2});
  check_tensor("int4 on the GPU: scale", scale, DType::bf16, {in / kS4Group, out});
  check_tensor("int4 on the GPU: zero_point", zero_point, DType::bf16, {in / kS4Group, out});
  return {static_cast<uint32_t*>(qdata.raw()), scale.data<bf16>(), zero_point.data<bf16>(), out,
          in};
}

unsigned blocks_of(const Parts& parts) {
  return static_cast<unsigned>((parts.out + kRows - 1) / kRows * (parts.in / kGroup));
}

}  // namespace

void quantize_groups_s4(CudaKernels& kernels, const Tensor& weight, const Tensor& qdata,
                        const Tensor& scale, const Tensor& zero_point) {
  check_tensor("int4 on the GPU: weight", weight, DType::bf16, {qdata.dim(0), qdata.dim(1) * 2});
  const Parts parts = checked(weight.dim(0), weight.dim(1), qdata, scale, zero_point);
  if (weight.elements() == 0) return;
  const auto quantize = has_aligned_chunks(weight) ? quantize_kernel<true> : quantize_kernel<false>;
  quantize<<<blocks_of(parts), kRows * kLanes, 0, kernels.stream()>>>(weight.data<bf16>(), parts);
  check_launch("quantizing to int4");
}

void expand_groups_s4(CudaKernels& kernels, const Tensor& qdata, const Tensor& scale,
                      const Tensor& zero_point, const Rows& values) {
  const Parts parts = checked(values.rows, values.cols, qdata, scale, zero_point);
  if (values.batch != 1 || values.dtype != DType::bf16)
    fail(ErrorCode::internal, "int4 on the GPU: expected values in one BF16 matrix, got {} {}",
         values.batch, dtype_name(values.dtype));
  if (values.rows * values.cols == 0) return;
  const auto expand = has_aligned_chunks(values) ? expand_kernel<true> : expand_kernel<false>;
  expand<<<blocks_of(parts), kRows * kLanes, 0, kernels.stream()>>>(parts, values);
  check_launch("expanding int4");
}

}  // namespace fluxq::cuda

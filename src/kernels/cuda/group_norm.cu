// GroupNorm of pictures [batch, height, width, channels] in three kernels: sums of groups over
// pieces of pixels; means and factors from them, in double and always in the same order; the
// result. The picture is read twice and written once.

#include "kernels/cuda/check.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/device_values.cuh"
#include "kernels/operands.h"

namespace fluxq {
namespace {

using namespace cuda;

constexpr int kThreads = 256;

// How a picture is shared out, by its shape alone: a block has `piece` pixels of some channels, its
// threads `width` channels each (8, or 1 where pixels have no whole chunks) of every `at_once`-th
// pixel.
struct Sharing {
  int channels, width, lanes, at_once;  // lanes: threads side by side
  int groups;
  int together;  // channels in a sum: a group's, or 1 where groups lie across blocks
  int64_t pixels, piece, pieces;
  unsigned lane_blocks;

  Sharing(const Tensor& x, int64_t groups_of_x, int chunk)
      : channels(static_cast<int>(x.dim(3))),
        width(chunk),
        lanes(std::min(kThreads, channels / width)),
        at_once(kThreads / lanes),
        groups(static_cast<int>(groups_of_x)),
        together(lanes * width % (channels / groups) == 0 ? channels / groups : 1),
        pixels(x.dim(1) * x.dim(2)),
        lane_blocks(static_cast<unsigned>((channels / width + lanes - 1) / lanes)) {
    constexpr int64_t kFewest = 4, kMost = 32, kBlocks = 1024;  // pixels of a thread, enough blocks
    const int64_t turns = pixels / (at_once * kBlocks);
    piece = at_once * std::clamp(turns, kFewest, kMost);
    pieces = (pixels + piece - 1) / piece;
  }
  dim3 grid(int64_t batch) const {
    return {static_cast<unsigned>(pieces), lane_blocks, static_cast<unsigned>(batch)};
  }
};

// A thread's channels and pixels [first, end) in steps of at_once; nothing to do where `idle`.
struct Place {
  int channel;
  int64_t first, end;
  bool idle;
  __device__ Place(const Sharing& s, int64_t piece) {
    const int thread = static_cast<int>(threadIdx.x);
    channel = (static_cast<int>(blockIdx.y) * s.lanes + thread % s.lanes) * s.width;
    first = piece * s.piece + thread / s.lanes;
    end = min((piece + 1) * s.piece, s.pixels);
    idle = thread >= s.lanes * s.at_once || channel >= s.channels;
  }
};

template <int kWidth, typename T>
__device__ void load(const T* from, float (&v)[kWidth]) {
  if constexpr (kWidth == kChunk)
    load_chunk<true>(from, kChunk, v);
  else
    v[0] = to_float(*from);
}
template <int kWidth, typename T>
__device__ void store(const float (&v)[kWidth], T* to) {
  if constexpr (kWidth == kChunk)
    store_chunk<true>(v, kChunk, to);
  else
    *to = round_to<T>(v[0]);
}

// A value near the group's mean, subtracted before squares are summed, so that a large mean does
// not cancel: the group's first channel at the middle of the picture.
template <typename T>
__device__ float reference_value(const T* picture, const Sharing& s, int group) {
  return to_float(picture[s.pixels / 2 * s.channels + group * (s.channels / s.groups)]);
}

// partial [batch, channels / together, pieces]: sums of (x - reference) and of its square.
template <typename T, int kWidth>
__global__ void __launch_bounds__(kThreads) sum_kernel(const T* x, Sharing s, float2* partial) {
  __shared__ float2 shared[kThreads * kWidth];
  const Place at(s, blockIdx.x);
  x += blockIdx.z * s.pixels * s.channels;
  float2 sums[kWidth] = {};
  if (!at.idle) {
    float reference[kWidth];
#pragma unroll
    for (int i = 0; i < kWidth; ++i)
      reference[i] = reference_value(x, s, (at.channel + i) / (s.channels / s.groups));
    const T* from = x + at.channel;
#pragma unroll 4
    for (int64_t pixel = at.first; pixel < at.end; pixel += s.at_once) {
      float v[kWidth];
      load<kWidth>(from + pixel * s.channels, v);
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        const float d = v[i] - reference[i];
        sums[i].x += d;
        sums[i].y += d * d;
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kWidth; ++i) shared[threadIdx.x * kWidth + i] = sums[i];
  __syncthreads();
  // The pixels that were summed side by side, in order, then the channels.
  const int row = s.lanes * kWidth;
  for (int c = static_cast<int>(threadIdx.x); c < row; c += kThreads) {
    float2 sum = shared[c];
    for (int i = 1; i < s.at_once; ++i) {
      sum.x += shared[i * row + c].x;
      sum.y += shared[i * row + c].y;
    }
    shared[c] = sum;  // which no other thread reads before all are done
  }
  __syncthreads();
  const int sums_of_block = row / s.together, sums_of_picture = s.channels / s.together;
  for (int i = static_cast<int>(threadIdx.x); i < sums_of_block; i += kThreads) {
    const int index = static_cast<int>(blockIdx.y) * sums_of_block + i;
    if (index >= sums_of_picture) break;
    float2 sum = shared[i * s.together];
    for (int c = 1; c < s.together; ++c) {
      sum.x += shared[i * s.together + c].x;
      sum.y += shared[i * s.together + c].y;
    }
    partial[(int64_t{blockIdx.z} * sums_of_picture + index) * s.pieces + blockIdx.x] = sum;
  }
}

// moments [batch, groups]: mean and 1 / sqrt(variance + eps). A block per group.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    moments_kernel(const T* x, const float2* partial, Sharing s, float eps, float2* moments) {
  __shared__ double sums[kThreads], squares[kThreads];
  const int group = static_cast<int>(blockIdx.x), width = s.channels / s.groups;
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t parts = width / s.together * s.pieces;  // of a group, side by side
  partial += (int64_t{blockIdx.y} * s.groups + group) * parts;
  double sum = 0, square = 0;
#pragma unroll 4
  for (int64_t i = thread; i < parts; i += kThreads) {
    const float2 part = partial[i];
    sum += part.x;
    square += part.y;
  }
  sums[thread] = sum;
  squares[thread] = square;
  for (int half = kThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (thread < half) {
      sums[thread] += sums[thread + half];
      squares[thread] += squares[thread + half];
    }
  }
  if (thread > 0) return;
  const double count = static_cast<double>(s.pixels) * width;
  const double mean = sums[0] / count;
  const double variance = squares[0] / count - mean * mean;
  x += blockIdx.y * s.pixels * s.channels;
  // Below zero only by rounding; NaN stays.
  moments[blockIdx.y * s.groups + group] = {
      static_cast<float>(reference_value(x, s, group) + mean),
      static_cast<float>(1 / sqrt((variance < 0 ? 0 : variance) + eps))};
}

template <typename T, int kWidth, bool kSilu>
__global__ void __launch_bounds__(kThreads)
    apply_kernel(const T* x, const float2* moments, Sharing s, const T* weight, const T* bias,
                 T* out) {
  // The last pieces first: the sums have read them last, and some are still in the cache.
  const Place at(s, s.pieces - 1 - blockIdx.x);
  if (at.idle) return;
  const int64_t picture = blockIdx.z * s.pixels * s.channels;
  float mean[kWidth], factor[kWidth], term[kWidth];
#pragma unroll
  for (int i = 0; i < kWidth; ++i) {
    const int channel = at.channel + i;
    const float2 of_group = moments[blockIdx.z * s.groups + channel / (s.channels / s.groups)];
    mean[i] = of_group.x;
    factor[i] = of_group.y * to_float(weight[channel]);
    term[i] = to_float(bias[channel]);
  }
  const T* from = x + picture + at.channel;
  T* to = out + picture + at.channel;
  constexpr int kInFlight = 4;
  for (int64_t pixel = at.first; pixel < at.end; pixel += kInFlight * s.at_once) {
    float v[kInFlight][kWidth];
#pragma unroll
    for (int p = 0; p < kInFlight; ++p)
      if (pixel + p * s.at_once < at.end)
        load<kWidth>(from + (pixel + p * s.at_once) * s.channels, v[p]);
#pragma unroll
    for (int p = 0; p < kInFlight; ++p) {
      if (pixel + p * s.at_once >= at.end) break;
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        v[p][i] = (v[p][i] - mean[i]) * factor[i] + term[i];
        if (kSilu) v[p][i] = v[p][i] * sigmoid<T>(v[p][i]);
      }
      store<kWidth>(v[p], to + (pixel + p * s.at_once) * s.channels);
    }
  }
}

template <typename T, int kWidth>
void run(CudaKernels& kernels, const Tensor& x, int64_t groups, const Tensor& weight,
         const Tensor& bias, float eps, bool silu, const Tensor& out) {
  const Sharing s(x, groups, kWidth);
  const int64_t batch = x.dim(0);
  const Arena::Scope scope(kernels.arena());
  const Tensor partial =
      kernels.arena().take(DType::f32, {batch, s.channels / s.together, s.pieces, 2});
  const Tensor moments = kernels.arena().take(DType::f32, {batch, groups, 2});
  auto* sums = static_cast<float2*>(partial.raw());
  auto* of_groups = static_cast<float2*>(moments.raw());
  const dim3 grid = s.grid(batch);
  sum_kernel<T, kWidth><<<grid, kThreads, 0, kernels.stream()>>>(x.data<T>(), s, sums);
  moments_kernel<T><<<dim3(static_cast<unsigned>(groups), static_cast<unsigned>(batch)), kThreads,
                      0, kernels.stream()>>>(x.data<T>(), sums, s, eps, of_groups);
  const auto apply = silu ? apply_kernel<T, kWidth, true> : apply_kernel<T, kWidth, false>;
  apply<<<grid, kThreads, 0, kernels.stream()>>>(x.data<T>(), of_groups, s, weight.data<T>(),
                                                 bias.data<T>(), out.data<T>());
  check_launch("group_norm");
}

}  // namespace

void CudaKernels::group_norm(const Tensor& x, int64_t groups, const Tensor& weight,
                             const Tensor& bias, float eps, bool silu, const Tensor& out) {
  check_group_norm(x, groups, weight, bias, out);
  if (x.elements() == 0) return;
  const bool aligned = x.dim(3) % kChunk == 0 && has_aligned_chunks(x) && has_aligned_chunks(out);
  if (x.dtype() == DType::f32)
    run<float, 1>(*this, x, groups, weight, bias, eps, silu, out);
  else if (aligned)
    run<bf16, kChunk>(*this, x, groups, weight, bias, eps, silu, out);
  else
    run<bf16, 1>(*this, x, groups, weight, bias, eps, silu, out);
}

}  // namespace fluxq

#include <atomic>
#include <cmath>

#include "kernels/cpu/row_values.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/simd.h"
#include "kernels/operands.h"

namespace fluxq {
namespace {

using cpu::to_float, cpu::round_to;

template <typename T>
FLUXQ_SIMD void add_row(const T* x, const T* y, int64_t count, float* out) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) out[i] = to_float(x[i]) + to_float(y[i]);
}

template <typename V, typename T>
FLUXQ_SIMD void step_row(const V* velocity, float step, int64_t count, T* latents) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i)
    latents[i] = round_to<T>(to_float(latents[i]) + step * to_float(velocity[i]));
}

template <typename T>
FLUXQ_SIMD bool row_is_finite(const T* x, int64_t count) {
  int bad = 0;
#pragma omp simd reduction(| : bad)
  for (int64_t i = 0; i < count; ++i)
    bad |= (std::bit_cast<uint32_t>(to_float(x[i])) & 0x7f800000) == 0x7f800000;
  return bad == 0;
}

template <typename T>
void embed_row(const Tensor& table, const Tensor& positions, int64_t id, int64_t row,
               float* values) {
  const int64_t cols = table.dim(1);
  const T* entry = table.data<T>() + id * cols;
  if (positions.empty())
    cpu::widen(entry, table.dtype(), cols, values);
  else
    add_row(entry, positions.data<T>() + row * cols, cols, values);
}

}  // namespace

void CpuKernels::produce(const Producer& producer, const Rows& out) {
  check_produce(producer, out);
  Arena::Scope scope(arena_);
  const cpu::RowProducer rows(*this, producer);
  const cpu::ThreadScratch buffers(*this, out.cols * 4);
  cpu::for_each_row(pool_, out.batch, out.rows, out.cols, [&](int64_t b, int64_t r, int worker) {
    rows.row_to(b, r, buffers.of<float>(worker), out);
  });
}

void CpuKernels::apply(const Epilogue& epilogue, const Rows& acc, const Rows& out) {
  check_apply(epilogue, acc, out);
  Arena::Scope scope(arena_);
  const cpu::RowFinisher finisher(*this, epilogue, nullptr, nullptr, out);
  cpu::for_each_row(pool_, out.batch, out.rows, out.cols, [&](int64_t b, int64_t r, int) {
    const int64_t flat = b * out.rows + r;
    if (acc.dtype == DType::bf16)
      finisher.finish(acc.row<bf16>(b, r), acc.row_stride, flat, 1, 0, out.cols);
    else
      finisher.finish(acc.row<float>(b, r), acc.row_stride, flat, 1, 0, out.cols);
  });
}

void CpuKernels::embed(const Tensor& ids, const Tensor& table, const Tensor& positions,
                       const Rows& out) {
  check_embed(ids, table, positions, out);
  Arena::Scope scope(arena_);
  const cpu::ThreadScratch buffers(*this, out.cols * 4);
  for (int64_t i = 0; i < out.batch * out.rows; ++i)
    if (const int32_t id = ids.data<int32_t>()[i]; id < 0 || id >= table.dim(0))
      fail(ErrorCode::internal, "embed: expected an id below {}, got {}", table.dim(0), id);
  cpu::for_each_row(pool_, out.batch, out.rows, out.cols, [&](int64_t b, int64_t r, int worker) {
    const int64_t id = ids.data<int32_t>()[b * out.rows + r];
    if (table.dtype() == DType::bf16)
      embed_row<bf16>(table, positions, id, r, buffers.of<float>(worker));
    else
      embed_row<float>(table, positions, id, r, buffers.of<float>(worker));
    cpu::narrow(buffers.of<float>(worker), out.cols, out.dtype, out.at(b, r));
  });
}

void CpuKernels::euler_step(const Rows& velocity, float sigma, float sigma_next,
                            const Rows& latents) {
  check_euler_step(velocity, latents);
  const float step = sigma_next - sigma;
  auto run = [&]<typename V, typename T>(V, T) {
    cpu::for_each_row(pool_, latents.batch, latents.rows, latents.cols,
                      [&](int64_t b, int64_t r, int) {
                        step_row(velocity.row<V>(b, r), step, latents.cols, latents.row<T>(b, r));
                      });
  };
  const bool wide_velocity = velocity.dtype == DType::f32, wide = latents.dtype == DType::f32;
  if (wide_velocity)
    wide ? run(float{}, float{}) : run(float{}, bf16{});
  else
    wide ? run(bf16{}, float{}) : run(bf16{}, bf16{});
}

bool CpuKernels::all_finite(const Rows& x) {
  std::atomic<bool> finite{true};
  cpu::for_each_row(pool_, x.batch, x.rows, x.cols, [&](int64_t b, int64_t r, int) {
    const bool row = x.dtype == DType::bf16 ? row_is_finite(x.row<bf16>(b, r), x.cols)
                                            : row_is_finite(x.row<float>(b, r), x.cols);
    if (!row) finite = false;
  });
  return finite;
}

}  // namespace fluxq

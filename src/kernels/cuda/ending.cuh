/// What follows the sum of a product in this folder's own kernels (kernels.h, Epilogue).
#pragma once

#include "kernels/cuda/device_values.cuh"

namespace fluxq::cuda {

/// Scales of a product's rows and columns: element i at [i * stride], a stride of 0 repeats one;
/// null for ones.
struct ScaleVector {
  const float* values = nullptr;
  int64_t stride = 0, batch_stride = 0;
  __device__ float at(int64_t batch, int64_t index) const {
    return values ? values[batch * batch_stride + index * stride] : 1.0f;
  }
};

/// residual + gate * act(w_scale * (x_scale * sum) + bias), T the stream's type.
template <typename T>
struct Ending {
  ScaleVector x_scale, w_scale;
  const T* bias = nullptr;
  Act act = Act::none;
  const T* gate = nullptr;
  const T* residual = nullptr;
  int64_t gate_batch = 0, residual_batch = 0, residual_row = 0;

  Ending(const ScaleVector& x, const ScaleVector& w, const Epilogue& epilogue)
      : x_scale(x),
        w_scale(w),
        bias(static_cast<const T*>(epilogue.bias.raw())),
        act(epilogue.act),
        gate(static_cast<const T*>(epilogue.gate.data)),
        residual(static_cast<const T*>(epilogue.residual.data)),
        gate_batch(epilogue.gate.batch_stride),
        residual_batch(epilogue.residual.batch_stride),
        residual_row(epilogue.residual.row_stride) {}

  __device__ T operator()(float sum, int64_t batch, int64_t row, int64_t col) const {
    float v = x_scale.at(batch, row) * sum * w_scale.at(0, col);
    if (bias) v += to_float(bias[col]);
    v = activate<T>(act, v);
    if (gate) v *= to_float(gate[batch * gate_batch + col]);
    if (residual) v += to_float(residual[batch * residual_batch + row * residual_row + col]);
    return round_to<T>(v);
  }
};

}  // namespace fluxq::cuda

#include "kernels/upsampling.h"

namespace fluxq {

Tensor phase_weight(const Tensor& weight, int64_t row, int64_t col) {
  const Tensor sums = Tensor::on_host(DType::f32, {weight.dim(0), weight.dim(1), 2, 2});
  for (int64_t filter = 0; filter < weight.dim(0) * weight.dim(1); ++filter) {
    double taps[2][2] = {};
    for (int64_t i = 0; i < 3; ++i)
      for (int64_t j = 0; j < 3; ++j)  // the first pixel is seen by 1 tap in phase 0, 2 in phase 1
        taps[i > row][j > col] += weight.data<float>()[(filter * 3 + i) * 3 + j];
    for (int64_t i = 0; i < 4; ++i)
      sums.data<float>()[filter * 4 + i] = static_cast<float>(taps[i / 2][i % 2]);
  }
  return sums;
}

}  // namespace fluxq

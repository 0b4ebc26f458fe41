// Attention and convolutions on the GPU at FLUX's sizes: every result is checked against the
// reference first (small sizes in full, large ones at sampled places, into memory full of NaN),
// then timed: microseconds (median of 20) and TFLOP/s. `--engines` also times the other engines
// that cuDNN offers for each shape, and says whether they give the same bytes. `--doubled` times
// nothing but the ways to convolve a doubled picture, in the products of the plain way.

#include <string_view>

#include "cuda_dnn_bench.h"

int main(int argc, char** argv) {
  const std::string_view option = argc > 1 ? argv[1] : "";
  try {
    fluxq::CudaKernels kernels;
    std::printf("cuDNN %zu\n", cudnnGetVersion());
    if (option == "--doubled") {
      fluxq::bench_doubling(kernels);
    } else {
      fluxq::bench_attention(kernels, option == "--engines");
      fluxq::bench_convolutions(kernels, option == "--engines");
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  std::printf("%d of the checks failed\n", fluxq::failures);
  return fluxq::failures > 0;
}

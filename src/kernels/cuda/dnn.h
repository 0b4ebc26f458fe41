/// Attention and convolutions on the GPU as cuDNN graphs, built once per shape. Only deterministic
/// engines take part, and no Winograd or FFT: what they make of a NaN reaches its neighbours. A
/// picture's bytes do not depend on the batch: the engine and its knobs are those that cuDNN ranks
/// first for one picture, in one call of the whole batch where they can run that.
#pragma once

#include <cudnn.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda/cuda_kernels.h"

namespace fluxq {

class CudaDnn {
 public:
  /// Of the engines that can run a graph, the `rank`-th of cuDNN's own ranking is used, or the last
  /// one: 0 is its first choice, others are for measuring.
  explicit CudaDnn(CudaKernels& kernels, int rank = 0);
  ~CudaDnn();
  CudaDnn(const CudaDnn&) = delete;
  CudaDnn& operator=(const CudaDnn&) = delete;

  /// Flash attention on bf16 heads of 8, 16, ... columns. Rows and matrices must begin at multiples
  /// of 16 bytes; `out` may be strided too; with a bias, keys come in eights. Weights are rounded
  /// to bf16 before they multiply the values. False, with nothing done, where cuDNN has no engine
  /// for it.
  bool attention(const Attention& args);

  /// out [B, H, W, O] = conv(x [B, H, W, C], weight [O, k, k, C]) + bias [O] (+ residual, of out's
  /// shape, or empty; it may be `out`): bf16, stride 1, padding k / 2; C and O multiples of 8;
  /// pictures must begin at multiples of 16 bytes. Sums in f32, rounded once.
  void convolve(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& residual,
                const Tensor& out);

  /// The same of x doubled (nearest) in height and width first, as four 2 x 2 convolutions of x
  /// itself (kernels/upsampling.h): phases [4, O, 2, 2, C], out and residual [B, 2 H, 2 W, O].
  void convolve_doubled(const Tensor& x, const Tensor& phases, const Tensor& bias,
                        const Tensor& residual, const Tensor& out);

  /// cuDNN's name of the engine that ran last, for reports.
  const std::string& last_engine() const { return last_engine_; }

 private:
  struct Plan;
  using Key = std::vector<int64_t>;  // kind of the graph, then all that it is built from
  /// The plan of that key, made the first time: by the engine of `like` if that is given.
  Plan& plan(const Key& key, const Plan* like, const std::function<void(Plan&)>& describe);
  void build(Plan& plan, const Plan* like) const;
  /// Of the first `batch` pictures of the operands.
  Plan& attention_plan(const Attention& args, int64_t batch, const Plan* like);
  struct ConvShape;
  Plan& convolution_plan(const ConvShape& shape, int64_t batch, const Plan* like);
  /// The padding is the shape's; Error(unsupported) where there is no engine.
  void convolve(const ConvShape& shape, const Tensor& x, const Tensor& weight, const Tensor& bias,
                const Tensor& residual, const Tensor& out);
  void run(Plan& plan, const std::vector<void*>& operands);

  CudaKernels& kernels_;
  const int rank_;
  cudnnHandle_t handle_ = nullptr;
  std::map<Key, std::unique_ptr<Plan>> plans_;
  std::string last_engine_;
};

}  // namespace fluxq

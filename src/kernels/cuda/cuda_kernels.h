/// The GPU device: its stream, its scratch memory and its operations, one file per group of
/// operations. All work goes to stream(), inside the second work of side_by_side() another one,
/// with scratch of its own; nothing but download(), synchronize() and all_finite() waits for it.
#pragma once

#include <cuda_runtime.h>

#include <memory>

#include "kernels/kernels.h"

namespace fluxq {

class CudaBlas;  // kernels/cuda/blas.h: matrix products
class CudaDnn;   // kernels/cuda/dnn.h: attention and convolutions

/// Device memory, counted. Error(out_of_memory_device) names the bytes.
class CudaMemory {
 public:
  std::shared_ptr<void> take(int64_t bytes);
  /// The most bytes held since the last call.
  int64_t take_peak();

 private:
  struct Counts {  // outlives this: memory may be given back later
    int64_t held = 0, peak = 0;
  };
  std::shared_ptr<Counts> counts_ = std::make_shared<Counts>();
};

class CudaKernels final : public Kernels {
 public:
  /// The first GPU. Errors as make_cuda_kernels().
  CudaKernels();
  ~CudaKernels() override;
  CudaKernels(const CudaKernels&) = delete;
  CudaKernels& operator=(const CudaKernels&) = delete;

  cudaStream_t stream() const { return stream_; }
  int multiprocessors() const { return multiprocessors_; }
  CudaMemory& memory() { return memory_; }
  CudaBlas& blas() { return *blas_; }
  CudaDnn& dnn() { return *dnn_; }

  Device device() const override { return Device::cuda; }
  Arena& arena() override { return arena_; }
  Tensor allocate(DType dtype, Shape shape) override;
  Tensor upload(const Tensor& host) override;
  Tensor download(const Tensor& tensor) override;
  void copy_to(const Tensor& host, const Tensor& out) override;
  void synchronize() override;
  int64_t free_bytes() const override;
  void side_by_side(const std::function<void()>& first,
                    const std::function<void()>& second) override;
  std::optional<int64_t> take_peak_bytes() override;
  /// The second time, the work is captured as a CUDA graph; from then on the graph is launched.
  void run_recorded(std::shared_ptr<Recording>& recording,
                    const std::function<void()>& work) override;
  void fill_random(const Tensor& out, uint64_t key, float offset, float spread) override;

  void produce(const Producer& producer, const Rows& out) override;
  void apply(const Epilogue& epilogue, const Rows& acc, const Rows& out) override;
  void embed(const Tensor& ids, const Tensor& table, const Tensor& positions,
             const Rows& out) override;
  void qk_norm_rope(const Rows& q, const Rows& k, const Tensor& q_weight, const Tensor& k_weight,
                    const Tensor& rope, float eps) override;
  void attention(const Attention& args) override;
  std::shared_ptr<AttentionCodes> attention_codes(const JointAttention& args) override;
  void joint_attention(const JointAttention& args) override;
  void euler_step(const Rows& velocity, float sigma, float sigma_next,
                  const Rows& latents) override;
  bool all_finite(const Rows& x) override;
  std::shared_ptr<ConvWeight> load_conv(const Tensor& weight, const Tensor& bias, DType stream,
                                        bool upsample) override;
  void conv2d(const Tensor& x, const ConvWeight& weight, const Tensor& residual,
              const Tensor& out) override;
  void group_norm(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias,
                  float eps, bool silu, const Tensor& out) override;
  void unpack_latents(const Rows& latents, float scaling, float shift, const Tensor& out) override;
  void to_rgb8(const Tensor& pictures, const Tensor& rgb) override;

 private:
  void swap_lanes();

  cudaStream_t stream_ = nullptr, side_stream_ = nullptr;
  cudaEvent_t forked_ = nullptr, joined_ = nullptr;
  int multiprocessors_ = 0;
  CudaMemory memory_;
  Arena arena_, side_arena_;
  std::unique_ptr<CudaBlas> blas_;
  std::unique_ptr<CudaDnn> dnn_;
};

/// The GPU's kernels behind the interface; Error(internal) for another device's.
CudaKernels& cuda_of(Kernels& kernels);

}  // namespace fluxq

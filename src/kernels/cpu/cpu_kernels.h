/// The CPU device: its threads, its scratch memory and its operations, one file per group of
/// operations.
#pragma once

#include "base/host_memory.h"
#include "base/thread_pool.h"
#include "kernels/kernels.h"

namespace fluxq {

class CpuKernels : public Kernels {
 public:
  explicit CpuKernels(int threads);
  ThreadPool& pool() { return pool_; }

  Device device() const override { return Device::cpu; }
  Arena& arena() override { return arena_; }
  Tensor allocate(DType dtype, Shape shape) override {
    return Tensor::on_host(dtype, std::move(shape));
  }
  Tensor upload(const Tensor& host) override { return host; }
  Tensor download(const Tensor& tensor) override { return tensor; }
  void copy_to(const Tensor& host, const Tensor& out) override;
  void synchronize() override {}
  int64_t free_bytes() const override { return available_memory_bytes(); }
  void fill_random(const Tensor& out, uint64_t key, float offset, float spread) override;
  void watch(const CancelToken* cancel) override { pool_.watch(cancel); }

  void produce(const Producer& producer, const Rows& out) override;
  void apply(const Epilogue& epilogue, const Rows& acc, const Rows& out) override;
  void embed(const Tensor& ids, const Tensor& table, const Tensor& positions,
             const Rows& out) override;
  void qk_norm_rope(const Rows& q, const Rows& k, const Tensor& q_weight, const Tensor& k_weight,
                    const Tensor& rope, float eps) override;
  void attention(const Attention& args) override;
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
  ThreadPool pool_;
  Arena arena_;
};

}  // namespace fluxq

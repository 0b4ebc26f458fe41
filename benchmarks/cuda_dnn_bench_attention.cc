// Attention at the sizes of CLIP, T5, the VAE and FLUX.

#include "cuda_dnn_bench.h"
#include "kernels/ref/ref_kernels.h"

namespace fluxq {
namespace {

struct AttentionCase {
  const char* name;
  int64_t heads, dim, tokens, row_elements;  // of the buffer that q, k and v lie in
  bool bias = false, causal = false;
  double sharpness = 1;  // standard deviation of the scores
};

/// One case in host and device memory: q, k, v side by side in one wide buffer, out in one of its
/// own with room beside it.
class AttentionRun {
 public:
  AttentionRun(CudaKernels& kernels, const AttentionCase& c, int64_t batch)
      : kernels_(kernels), case_(c), cols_(c.heads * c.dim) {
    host_ = large_random({batch, c.tokens, c.row_elements}, 1);
    wide_ = kernels.upload(host_);
    out_ = kernels.allocate(DType::bf16, {batch, c.tokens, cols_ + 64});
    if (!c.bias) return;
    host_bias_ = random_tensor(DType::f32, {c.heads, c.tokens, c.tokens}, 2);
    bias_ = kernels.upload(host_bias_);
  }

  const Tensor& out() const { return out_; }
  double flops() const {
    return 4.0 * static_cast<double>(out_.dim(0) * case_.tokens * case_.tokens * cols_);
  }
  Attention args() const { return args(wide_, out_, bias_); }

  /// Of one call, the first one of its kind; returns its ms.
  double check() const {
    poison(kernels_, out_);
    const double ms = first_call_ms(kernels_, [&] { kernels_.attention(args()); });
    const Tensor got = kernels_.download(out_);
    const auto ref = make_ref_kernels();
    std::vector<float> ours, theirs;
    for (int64_t i = 0; i < kSamples; ++i) {
      const int64_t b = i % out_.dim(0), row = (i * 613 + case_.tokens - 1) % case_.tokens;
      Attention all = args(host_, got, host_bias_);
      const Tensor expected = Tensor::on_host(DType::bf16, {1, 1, cols_});
      Attention one = all;
      one.q = all.q.item(b).middle(row, 1);
      one.k = all.k.item(b);
      one.v = all.v.item(b);
      if (case_.causal) {  // the only query sees the keys up to its own
        one.k = one.k.middle(0, row + 1);
        one.v = one.v.middle(0, row + 1);
        one.causal = false;
      }
      one.out = expected;
      Tensor bias_row;
      if (case_.bias) {
        bias_row = Tensor::on_host(DType::f32, {case_.heads, 1, case_.tokens});
        for (int64_t head = 0; head < case_.heads; ++head)
          std::copy_n(host_bias_.data<float>() + (head * case_.tokens + row) * case_.tokens,
                      case_.tokens, bias_row.data<float>() + head * case_.tokens);
        one.bias = bias_row;
      }
      ref->attention(one);
      for (int64_t c = 0; c < cols_; ++c) {
        ours.push_back(static_cast<float>(all.out.row<bf16>(b, row)[c]));
        theirs.push_back(static_cast<float>(expected.data<bf16>()[c]));
      }
    }
    expect_near(case_.name, ours, theirs, 0.5);
    return ms;
  }

  /// The whole batch in one call must give the bytes of one call for each picture.
  void compare_batch() const {
    poison(kernels_, out_);
    for (int64_t b = 0; b < out_.dim(0); ++b) {
      Attention alone = args();
      for (Rows* rows : {&alone.q, &alone.k, &alone.v, &alone.out}) *rows = rows->item(b);
      kernels_.attention(alone);
    }
    const Tensor apart = kernels_.download(out_);
    poison(kernels_, out_);
    const double us = median_us(kernels_, kSampling, [&] { kernels_.attention(args()); });
    print_batch(case_.name, out_.dim(0), same_bytes(kernels_.download(out_), apart), us, flops());
  }

 private:
  Attention args(const Tensor& wide, const Tensor& out, const Tensor& bias) const {
    const Rows rows = wide;
    return {
        .q = rows.columns(0, cols_),
        .k = rows.columns(cols_, cols_),
        .v = rows.columns(2 * cols_, cols_),
        .out = Rows(out).columns(0, cols_),
        .heads = case_.heads,
        .scale = static_cast<float>(case_.sharpness / std::sqrt(static_cast<double>(case_.dim))),
        .bias = bias,
        .causal = case_.causal};
  }

  CudaKernels& kernels_;
  const AttentionCase& case_;
  const int64_t cols_;
  Tensor host_, host_bias_, wide_, out_, bias_;
};

const AttentionCase kAttentions[] = {
    {"attention, aligned, 200 tokens", 3, 128, 200, 1200, false, false, 3},
    {"attention, 333 tokens", 2, 64, 333, 384, false, false, 3},
    {"attention, bias, 72 tokens", 4, 64, 72, 768, true},
    {"attention, bias, 77 tokens", 4, 64, 77, 768, true},
    {"attention, rows of odd length", 2, 24, 50, 145, true},
    {"attention, 1 x 136, 30000: longest rows", 1, 136, 30000, 408},
    {"CLIP: 12 x 64, causal, 77", 12, 64, 77, 2304, false, true},
    {"T5: 64 x 64, bias, 256", 64, 64, 256, 12288, true},
    {"T5: 64 x 64, bias, 512", 64, 64, 512, 12288, true},
    {"VAE: 1 x 512, 4096", 1, 512, 4096, 1536},
    {"VAE: 1 x 512, 16384", 1, 512, 16384, 1536},
    {"FLUX: 24 x 128, 4352", 24, 128, 4352, 21504},
    {"FLUX: 24 x 128, 4608", 24, 128, 4608, 21504},
};

}  // namespace

void bench_attention(CudaKernels& kernels, bool engines) {
  for (const AttentionCase& c : kAttentions) {
    const bool suits_cudnn = c.row_elements % 8 == 0 && (!c.bias || c.tokens % 8 == 0);
    const AttentionRun run(kernels, c, 1);
    const double first_ms = run.check();
    print(c.name, as_chosen(first_ms).c_str(),
          median_us(kernels, kSampling, [&] { kernels.attention(run.args()); }), run.flops());
    if (engines && suits_cudnn)
      time_engines(kernels, c.name, run.out(), run.flops(),
                   [&](CudaDnn& dnn) { return dnn.attention(run.args()); });
    if (c.dim <= 128 && suits_cudnn) AttentionRun(kernels, c, 3).compare_batch();
  }
}

}  // namespace fluxq

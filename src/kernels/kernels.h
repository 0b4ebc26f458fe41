/// THE list of operations that models are written in. Every device implements all of them (ref/:
/// slow, exact, double: the definition; cpu/; cuda/), the same file stem for the same operation, so
/// a model never asks which device it is on.
///
/// The stream: activations between operations are f32 (scheme `f32`) or bf16 (all others); inside
/// an operation the arithmetic is f32, rounded once at its end to the dtype of its output. `x`
/// below stands for the stream's dtype. Linear layers are not here: their kernels belong to the
/// schemes (quant/scheme.h), reached through models/linear.h.
///
/// Batch rule: what an operation writes for one matrix of a batch is, byte for byte, what it would
/// write for that matrix alone, for any number of threads.
///
/// Errors: operands whose shapes do not fit are defects (Error internal); device failures throw
/// device_lost or out_of_memory_device.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "fluxq/cancel.h"
#include "kernels/rows.h"
#include "tensor/arena.h"

namespace fluxq {

enum class Act : uint8_t {
  none,
  gelu_tanh,   ///< 0.5 v (1 + tanh(sqrt(2/pi) (v + 0.044715 v^3))): FLUX, T5 v1.1 ("gelu_new")
  gelu_erf,    ///< 0.5 v (1 + erf(v / sqrt 2)): CLIP "gelu"
  quick_gelu,  ///< v sigmoid(1.702 v): CLIP-L
  relu,
  silu,
};

/// A value computed on the fly from a stream tensor: what feeds a linear layer. Devices fuse it
/// with the quantization of the layer's input. All operands [batch, rows, cols] unless said; the
/// result has x's shape and is rounded to x's dtype.
struct Producer {
  enum class Kind : uint8_t {
    activate,    ///< act(x) [* factor]; with act none and no factor: x itself
    layer_norm,  ///< (x - mean) / sqrt(variance + eps), then * (1 + scale) + shift, or * weight +
                 ///< bias, or as it is
    rms_norm,    ///< x / sqrt(mean(x^2) + eps) * weight
  };
  Kind kind = Kind::activate;
  Rows x{};
  Act act = Act::none;
  Rows factor{};            ///< or empty
  Rows shift{}, scale{};    ///< [batch, 1, cols] or empty
  Tensor weight{}, bias{};  ///< [cols] in the stream's dtype, or empty
  float eps = 0;
  /// [cols] f32 or empty: multiplies the rounded result, which is then rounded again (smoothing;
  /// torchao act_pre_scale).
  Tensor input_scale{};
};

struct JointAttention;

/// What follows a matrix product acc [batch, rows, out], in this order and in f32, rounded once at
/// the end: out = residual + gate * act(acc + bias). Empty parts are left out. `residual` may be
/// the output itself.
struct Epilogue {
  Tensor bias{};  ///< [out], the stream's dtype
  Act act = Act::none;
  Rows gate{};      ///< [batch, 1, out]
  Rows residual{};  ///< [batch, rows, out]
  /// What the product is for, if it is: its columns are q, k and v of a stream of `attention`, in
  /// that order. A kernel that norms and rotates q and k on the way sets the stream's `normed`; any
  /// other writes the columns and leaves that to joint_attention().
  struct Heads {
    JointAttention* attention = nullptr;
    size_t stream = 0;
  };
  Heads heads{};
};

/// softmax(scale * q k^T + bias, causal mask) v per head; columns of head h are [h * dim, (h + 1) *
/// dim).
struct Attention {
  Rows q{};       ///< [batch, queries, heads * dim]
  Rows k{}, v{};  ///< [batch, keys, heads * dim]
  Rows out{};     ///< [batch, queries, heads * dim]
  int64_t heads = 1;
  float scale = 1;
  Tensor bias{};        ///< f32 [heads, queries, keys] added to the scaled scores, or empty (T5's
                        ///< relative positions)
  bool causal = false;  ///< query i sees keys 0..i
};

/// What attention computes in, as far as the device can: 8 bits are faster and less accurate.
enum class AttentionPrecision : uint8_t { bf16, fp8, int8 };

/// q, k and perhaps v in another form than rows, in the arena.
struct AttentionCodes {
  virtual ~AttentionCodes() = default;
};

/// FLUX's attention over the rows of text and picture together: qk_norm_rope() on each stream that
/// is not normed yet, then attention(). q, k, v bf16 or f32 [batch, rows, heads * dim] are scratch:
/// what they hold afterwards is not defined.
struct JointAttention {
  /// Rows [first, first + count) with their norms' weights [dim].
  struct Stream {
    int64_t first = 0, count = 0;
    Tensor q_weight{}, k_weight{};
    /// The product that made q and k of these rows normed and rotated them: into `codes` where
    /// there are any (v too, if they have v), else into the rows.
    bool normed = false;
  };
  Rows q{}, k{}, v{}, out{};
  std::vector<Stream> streams{};  ///< in order; together all rows
  Tensor rope{};                  ///< f32 [rows, dim / 2, 2]
  float eps = 0;
  int64_t heads = 1;
  float scale = 1;
  AttentionPrecision precision = AttentionPrecision::bf16;
  std::shared_ptr<AttentionCodes> codes{};  ///< attention_codes(), asked for before the products
};

/// A convolution's weight, arranged for its device.
struct ConvWeight {
  virtual ~ConvWeight() = default;
  int64_t out_channels = 0, in_channels = 0, kernel = 0;  ///< kernel x kernel taps, 1 or 3
  bool upsample = false;  ///< x is doubled in height and width (nearest) before the convolution
  int64_t bytes = 0;      ///< resident on the device
};

/// What run_recorded() keeps of work that comes again.
struct Recording {
  virtual ~Recording() = default;
};

class Kernels {
 public:
  virtual ~Kernels() = default;

  // ---- memory
  virtual Device device() const = 0;
  /// Scratch for one run; operations take what they need from it and give it back.
  virtual Arena& arena() = 0;
  /// Lasting memory on the device, not initialised.
  virtual Tensor allocate(DType dtype, Shape shape) = 0;
  /// A lasting copy on the device of a host tensor, and back. On the CPU `upload` may share memory.
  virtual Tensor upload(const Tensor& host) = 0;
  virtual Tensor download(const Tensor& tensor) = 0;
  /// Copies a host tensor into device memory of the same dtype and element count.
  virtual void copy_to(const Tensor& host, const Tensor& out) = 0;
  /// Returns when all work given so far is done.
  virtual void synchronize() = 0;
  /// Bytes of the device's memory that new tensors could take now.
  virtual int64_t free_bytes() const = 0;
  /// The most bytes that this process held in the device's memory since the last call (the arena
  /// counts as a whole); nothing where the device's memory is the host's.
  virtual std::optional<int64_t> take_peak_bytes() { return std::nullopt; }
  /// Runs `work`, which gives operations to this device and does nothing else. Whoever calls this
  /// again with the same `recording`, empty at first, promises the same operations on the same
  /// operands: a device may replay them then without calling `work`.
  virtual void run_recorded(std::shared_ptr<Recording>& /*recording*/,
                            const std::function<void()>& work) {
    work();
  }
  /// Runs both works, neither of which writes what the other reads or writes; a device may overlap
  /// them. What they take from the arena they give back.
  virtual void side_by_side(const std::function<void()>& first,
                            const std::function<void()>& second) {
    first();
    second();
  }
  /// Until the next call, operations may stop half-way with Error(cancelled) once `cancel` is
  /// requested (nullptr: never), so that one long operation does not hold up an interrupt.
  virtual void watch(const CancelToken* /*cancel*/) {}

  /// out = spread * z + offset with z of mean 0 and variance 1, f32 or bf16: element i depends on
  /// `key` and i only, and is the same on every device (kernels/random.h has the generator).
  virtual void fill_random(const Tensor& out, uint64_t key, float offset, float spread) = 0;

  // ---- rows
  /// out = the producer's value, converted to out's dtype.
  virtual void produce(const Producer& producer, const Rows& out) = 0;
  /// out = epilogue(acc), acc f32 or the stream's dtype, and perhaps out itself: for what a
  /// scheme's kernel cannot fuse.
  virtual void apply(const Epilogue& epilogue, const Rows& acc, const Rows& out) = 0;
  /// out[b, t] = table[ids[b, t]] (+ positions[t]); ids i32 [batch, rows], table [vocabulary,
  /// cols], positions [>= rows, cols] or empty.
  virtual void embed(const Tensor& ids, const Tensor& table, const Tensor& positions,
                     const Rows& out) = 0;
  /// In place on q and k of one stream (text or image): per head x / rms(x) * weight rounded to the
  /// stream's dtype, then rotates the pairs (2i, 2i + 1) by the angle whose cosine and sine stand
  /// in rope[row, i] (f32 [rows, dim / 2, 2]). q, k [batch, rows, heads * dim]; weights [dim].
  /// FLUX's QK-norm, eps 1e-6.
  virtual void qk_norm_rope(const Rows& q, const Rows& k, const Tensor& q_weight,
                            const Tensor& k_weight, const Tensor& rope, float eps) = 0;
  virtual void attention(const Attention& args) = 0;
  /// Where products write q and k for joint_attention(args) in place of args.q and args.k. Memory
  /// of the arena; nothing where they belong into the rows.
  virtual std::shared_ptr<AttentionCodes> attention_codes(const JointAttention& /*args*/) {
    return nullptr;
  }
  /// In the stream's dtype, unless a device has something faster for the precision asked for.
  virtual void joint_attention(const JointAttention& args);
  /// latents += (sigma_next - sigma) * velocity, in f32, rounded to the latents' dtype. Both
  /// [batch, tokens, 64].
  virtual void euler_step(const Rows& velocity, float sigma, float sigma_next,
                          const Rows& latents) = 0;
  /// Whether no element is NaN or infinite. Synchronizes.
  virtual bool all_finite(const Rows& x) = 0;

  // ---- pictures, channels last
  /// A lasting arrangement of weight [out, in, k, k] and bias [out] (host; f32, bf16 or f16) for
  /// x's dtype `stream`, to which their values are rounded. `upsample`, for k = 3 only, says what
  /// conv2d does to x first.
  virtual std::shared_ptr<ConvWeight> load_conv(const Tensor& weight, const Tensor& bias,
                                                DType stream, bool upsample) = 0;
  /// out [B, H', W', O] = conv(x [B, H, W, C]) + bias (+ residual [B, H', W', O] or empty); stride
  /// 1, zero padding kernel / 2; H' = H, or 2H where the weight says upsample. `residual` may be
  /// `out`.
  virtual void conv2d(const Tensor& x, const ConvWeight& weight, const Tensor& residual,
                      const Tensor& out) = 0;
  /// GroupNorm over [H, W, C / groups], then * weight[C] + bias[C], then SiLU if asked. x, out [B,
  /// H, W, C]; `out` may be x.
  virtual void group_norm(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias,
                          float eps, bool silu, const Tensor& out) = 0;
  /// FLUX's packed tokens to the decoder's input: out [B, h, w, c] = latents [B, (h/2) (w/2), 4 c]
  /// / scaling + shift, where token (y, x) holds channel c's 2 x 2 patch as columns 4 c + 2 dy +
  /// dx.
  virtual void unpack_latents(const Rows& latents, float scaling, float shift,
                              const Tensor& out) = 0;
  /// rgb u8 = round(255 * clamp(pictures / 2 + 1/2, 0, 1)), halves to even; NaN gives 0. Both of
  /// one shape.
  virtual void to_rgb8(const Tensor& pictures, const Tensor& rgb) = 0;
};

/// The CPU's kernels with `threads` threads (kernels/cpu). Bytes do not depend on `threads`.
std::unique_ptr<Kernels> make_cpu_kernels(int threads);

/// The kernels of the machine's first GPU (kernels/cuda), of compute capability 9.0. Its stream is
/// always asynchronous; a failure of earlier work may surface in a later call. Errors: unsupported
/// (this build has no CUDA, or the GPU is another), no_device, driver_too_old,
/// out_of_memory_device.
std::unique_ptr<Kernels> make_cuda_kernels();

}  // namespace fluxq

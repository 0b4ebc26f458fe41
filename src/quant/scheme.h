/// A quantization scheme: how one linear layer's weight is stored and multiplied. One folder per
/// scheme (quant/<name>/) and one line in quant/registry.cc; nothing outside those names a scheme.
///
/// Meaning: y = x W^T + bias with W [out, in]. `pack` turns W into named parts (codes, scales,
/// ...), `unpack` is the exact meaning of those parts, and a device's `matmul` computes
/// dequantize(prepare(x)) x unpack(W)^T up to the rounding of its accumulation.
/// quant/conformance_test.cc holds every scheme on every device to that.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/kernels.h"

namespace fluxq {

/// What a scheme is, for tables and documents.
struct SchemeInfo {
  std::string name;            ///< as on the command line: "int8dq"
  std::string summary;         ///< one sentence
  std::string weight;          ///< "s8 symmetric, one f32 scale per output channel"
  std::string activation;      ///< "s8 symmetric per token, dynamic", or "bf16"
  double bits_per_weight = 0;  ///< of a large layer, scales included
  std::string good_for;
  std::string torchao;  ///< the torchao configuration that it corresponds to, "" for none
};

/// One part of a packed weight, as declared.
struct PartSpec {
  std::string name;  ///< "qdata", "scale", "zero_point"
  DType dtype;
  Shape shape;
};

/// A packed weight: its parts in the order of Scheme::layout(), all on the host or all on the
/// device that packed them.
struct PackedWeight {
  int64_t out = 0, in = 0;
  std::vector<Tensor> parts;
  int64_t bytes() const;
};

struct StoredForm;  // quant/torchao_format.h

/// A layer's input, quantized once for all linears that read it.
struct Prepared {
  Rows codes;    ///< [batch, rows, in] in the device's own type
  Tensor scale;  ///< f32, [batch * rows] per token or [batch] per sample; empty when the scheme has
                 ///< none
};

/// A packed weight on a device, arranged as that device's kernel reads it.
struct DeviceWeight {
  virtual ~DeviceWeight() = default;
  int64_t out = 0, in = 0;
  int64_t bytes = 0;  ///< resident
};

/// Which parts of an Epilogue a kernel fuses; the generic Kernels::apply does the others after it.
struct FusedParts {
  bool bias = false, act = false, gate = false, residual = false;
  bool heads = false;  ///< of weights that join_heads() arranged for it
};

/// Roundings of a kernel's arithmetic beyond those of f32 and the one to the stream's dtype,
/// relative to the number that is rounded; and where its range ends before the scheme's.
struct KernelRounding {
  double sum = 0x1p-24;   ///< of each addition to a product's sum
  double gated_bias = 0;  ///< of gate * bias, where they are multiplied before the product
  /// Weights up to here keep every sum within f32. Less than what can be packed where the weight's
  /// scale is applied first: small inputs come too late to make up for a large weight.
  double largest_weight = 0x1p126;
};

/// A scheme on one device. Scratch comes from the device's arena: what prepare() returns lives
/// until the caller's scope ends.
class SchemeKernels {
 public:
  virtual ~SchemeKernels() = default;
  virtual std::string kernel_name() const = 0;  ///< "oneDNN s8 (avx512_core_vnni)"
  /// Each part that some matmul() fuses.
  virtual FusedParts fused() const = 0;
  /// The parts of this epilogue that one matmul() fuses: where a kernel cannot do all combinations.
  virtual FusedParts fused(const Epilogue& /*wanted*/) const { return fused(); }
  virtual KernelRounding rounding() const { return {}; }
  /// Packs a weight [out, in] that lies on the device, in the stream's dtype, to the very parts of
  /// Scheme::pack(), left on the device. Error(numeric) naming `name` for NaN and Inf. Nothing
  /// where weights are packed on the host.
  virtual std::optional<PackedWeight> pack(const Tensor& /*weight*/, std::string_view /*name*/) {
    return std::nullopt;
  }
  /// What load() of a weight [out, sum of `columns`], once for each of `columns`, leaves on the
  /// device, where the packed weight has `packed_bytes`.
  virtual int64_t loaded_bytes(int64_t /*out*/, std::span<const int64_t> /*columns*/,
                               int64_t packed_bytes) const {
    return packed_bytes;
  }
  /// Columns [in_begin, in_begin + in_count) of the weight (a layer whose input lies in two buffers
  /// is two of these). Parts on the device may be kept, not copied.
  virtual std::shared_ptr<DeviceWeight> load(const PackedWeight& weight, int64_t in_begin,
                                             int64_t in_count) = 0;
  /// One weight whose outputs are those of `weights`, of the same `in`, side by side: one product
  /// in place of several. Nothing where that gains nothing.
  virtual std::shared_ptr<DeviceWeight> join(
      std::span<const std::shared_ptr<DeviceWeight>> /*weights*/) {
    return nullptr;
  }
  /// join() of the weights of q, k and v, each [heads * dim, in], for products with
  /// Epilogue::heads: may be arranged for a kernel that norms and rotates q and k, and takes no
  /// other epilogue then.
  virtual std::shared_ptr<DeviceWeight> join_heads(
      std::span<const std::shared_ptr<DeviceWeight>> weights, int64_t /*heads*/) {
    return join(weights);
  }
  virtual Prepared prepare(const Producer& input) = 0;
  virtual void matmul(const Prepared& input, const DeviceWeight& weight, const Epilogue& epilogue,
                      const Rows& out) = 0;
  /// The exact meaning of what prepare() returned, on the host: [batch, rows, in] floats. For tests
  /// and `distort`.
  virtual std::vector<float> dequantize(const Prepared& input) = 0;
};

class Scheme {
 public:
  virtual ~Scheme() = default;
  virtual const SchemeInfo& info() const = 0;
  /// The dtype of activations between operations under this scheme: bf16, or f32 for the exact
  /// reference.
  virtual DType stream() const { return DType::bf16; }
  /// Why a weight [out, in] cannot be packed ("in = 96 is not a multiple of the group of 128"), or
  /// nothing.
  virtual std::optional<std::string> refuses(int64_t /*out*/, int64_t /*in*/) const {
    return std::nullopt;
  }
  /// The parts of a packed weight [out, in], in order.
  virtual std::vector<PartSpec> layout(int64_t out, int64_t in) const = 0;
  /// weight [out, in], f32, bf16 or f16, on the host. Error(numeric) with `name` and the index for
  /// NaN or Inf.
  virtual PackedWeight pack(const Tensor& weight, std::string_view name) const = 0;
  /// [out, in] floats: the exact meaning of the parts.
  virtual std::vector<float> unpack(const PackedWeight& weight) const = 0;
  /// Error(corrupt_file) naming `name` when parts do not fit layout() or hold impossible values.
  virtual void check(const PackedWeight& weight, std::string_view name) const;
  /// The largest |unpack(pack(w)) - w| that the format allows at each element of weight [out, in]:
  /// half a step of its scale.
  virtual std::vector<float> pack_bound(const Tensor& weight) const = 0;
  /// The largest |dequantize(prepare(x)) - x| that the format allows at each element of one sample
  /// x [rows, in]: zero when inputs are not quantized.
  virtual std::vector<float> input_bound(const Tensor& x) const;
  /// How files describe a packed weight [out, in]: by default in fluxq's own form, under the
  /// scheme's name.
  virtual StoredForm stored_form(int64_t out, int64_t in) const;
  /// The scheme on a device, or Error(unsupported) naming the device and the schemes that run
  /// there.
  virtual std::unique_ptr<SchemeKernels> on(Kernels& kernels) const = 0;
  /// Whether the scheme has kernels for the device, in builds that have the device.
  virtual bool runs_on(Device /*device*/) const { return true; }
};

/// All schemes, in the order of documents: f32, bf16, then the quantized ones.
std::span<const Scheme* const> all_schemes();

/// Error(unsupported): `scheme` has no kernels for `device`; names the schemes that have.
[[noreturn]] void fail_no_kernels(const Scheme& scheme, Device device);

/// Makes a scheme's kernels on its device.
using MakeKernels = std::unique_ptr<SchemeKernels> (*)(Kernels& kernels);
template <typename OnDevice>
std::unique_ptr<SchemeKernels> make_kernels(Kernels& kernels) {
  return std::make_unique<OnDevice>(kernels);
}
/// What `Scheme::on` returns: made by the one for the kernels' device; Error(unsupported) where
/// that is null. FLUXQ_IF_CUDA(make) is null in builds without CUDA, which have no such function.
std::unique_ptr<SchemeKernels> on_device(const Scheme& scheme, Kernels& kernels, MakeKernels cpu,
                                         MakeKernels cuda);
#ifdef FLUXQ_CUDA
#define FLUXQ_IF_CUDA(make) (make)
#else
#define FLUXQ_IF_CUDA(make) nullptr
#endif

/// The scheme of that name, or Error(bad_argument) naming near matches and the list.
const Scheme& find_scheme(std::string_view name);

}  // namespace fluxq

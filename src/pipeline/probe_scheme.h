/// A scheme that computes as the baseline does and notes, beside it, what another scheme would make
/// of the same weights and inputs. A generation that runs on it is the baseline's, byte for byte;
/// models and pipeline know nothing of it. Used by distort().
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "quant/scheme.h"

namespace fluxq {

/// How far values are from what they should be, as sums over all of them.
struct Deviation {
  double signal = 0;  ///< of squares of what they should be
  double noise = 0;   ///< of squares of the differences

  void add(double exact, double got) {
    signal += exact * exact;
    noise += (got - exact) * (got - exact);
  }
  /// Root mean square of the differences over that of the exact values: 0 when there are none.
  double relative() const;
  /// The same in decibels, infinite when there are no differences.
  double snr_db() const;
};

/// What a scheme makes of one linear layer, or of those columns of it that read one buffer.
struct LayerDistortion {
  std::string layer;  ///< "transformer.transformer_blocks.0.attn.to_q"
  std::string scheme;
  int64_t out = 0, in = 0;             ///< of the weight
  int64_t in_begin = 0, in_count = 0;  ///< the columns that this is about: all, or a buffer's
  Deviation weight;                    ///< unpack(pack(w)) from w, over all columns
  int64_t zeroed = 0;                  ///< weights that became zero
  int64_t saturated = 0;               ///< weights that lie beyond the format's range: they became
                                       ///< smaller by more than the format's rounding allows
  Deviation input;                     ///< dequantize(prepare(x)) from x
  int64_t inputs = 0, inputs_zeroed = 0;  ///< values seen, and those that became zero
  Deviation output;                       ///< the product from the baseline's, without bias
};

class ProbeScheme final : public Scheme {
 public:
  /// Both must run on the device and share a stream; they outlive this.
  ProbeScheme(const Scheme& baseline, const Scheme& studied);

  /// What was seen so far, in the order of loading.
  const std::deque<LayerDistortion>& layers() const { return layers_; }

  const SchemeInfo& info() const override { return info_; }
  DType stream() const override { return baseline_.stream(); }
  std::optional<std::string> refuses(int64_t out, int64_t in) const override {
    return studied_.refuses(out, in);
  }
  /// The baseline's parts, the studied scheme's, and the number of the weight (i64 [1]).
  std::vector<PartSpec> layout(int64_t out, int64_t in) const override;
  PackedWeight pack(const Tensor& weight, std::string_view name) const override;
  std::vector<float> unpack(const PackedWeight& weight) const override;
  std::vector<float> pack_bound(const Tensor& weight) const override {
    return baseline_.pack_bound(weight);
  }
  std::unique_ptr<SchemeKernels> on(Kernels& kernels) const override;
  bool runs_on(Device device) const override {
    return baseline_.runs_on(device) && studied_.runs_on(device);
  }

 private:
  friend class ProbeKernels;
  struct Halves {
    PackedWeight baseline, studied;
    int64_t number;
  };
  Halves halves(const PackedWeight& weight) const;

  const Scheme& baseline_;
  const Scheme& studied_;
  SchemeInfo info_;
  // A scheme is immutable to its users; what it notes down is not part of what it is.
  mutable std::vector<LayerDistortion> weights_;  // by number: what pack() saw
  mutable std::deque<LayerDistortion> layers_;    // their places are lasting
};

}  // namespace fluxq

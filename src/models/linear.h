/// The only door from a model to a scheme: linear layers, loaded by name (models/weights.h) and run
/// on a device. What a scheme's kernel does not fuse follows as the generic Kernels::apply, so a
/// model writes the whole epilogue and never asks.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "quant/scheme.h"

namespace fluxq {

/// y = x W^T + b on the device. Copies share the weight.
class Linear {
 public:
  Linear() = default;  ///< no weight: empty() is true
  Linear(std::shared_ptr<SchemeKernels> scheme, std::shared_ptr<DeviceWeight> weight, Tensor bias,
         Tensor input_scale)
      : pieces_{{std::move(scheme), std::move(weight), std::move(bias), std::move(input_scale)}} {}

  /// Layers of one input whose outputs stand side by side, as one layer: one product where their
  /// scheme can join their weights and all have the same input scale, and all or none a bias. The
  /// parts' own weights go where nobody else holds them.
  static Linear side_by_side(Kernels& kernels, std::vector<Linear> layers);
  /// The same for the layers of q, k and v, each of `heads` heads. Whoever runs it hands
  /// Epilogue::heads to it.
  static Linear qkv(Kernels& kernels, std::vector<Linear> layers, int64_t heads);

  bool empty() const { return pieces_.empty(); }
  int64_t out() const;
  int64_t in() const { return empty() ? 0 : pieces_.front().weight->in; }

 private:
  friend class Linears;
  struct Piece {
    std::shared_ptr<SchemeKernels> scheme;
    std::shared_ptr<DeviceWeight> weight;
    Tensor bias;         // [out], the stream's dtype, or empty
    Tensor input_scale;  // [in] f32, or empty
  };
  // `heads`: of q, k and v, or 0 for any other layers.
  static Linear side_by_side(Kernels& kernels, std::vector<Linear> layers, int64_t heads);
  static Linear joined(Kernels& kernels, const std::vector<Piece>& pieces, int64_t heads);
  std::vector<Piece> pieces_;  // their outputs side by side
};

/// Linears that read the same input: it is prepared once for each scheme (and input scale) among
/// them.
class Linears {
 public:
  Linears() = default;
  Linears(Linear layer) : parts_{std::move(layer)} {}  // NOLINT: implicit, one layer is a list
  Linears(std::vector<Linear> parts) : parts_(std::move(parts)) {}  // NOLINT: implicit

  size_t size() const { return parts_.size(); }
  int64_t out(size_t index) const { return parts_[index].out(); }

  struct Target {
    Rows out;
    Epilogue epilogue;  ///< its bias is filled in from the layer
  };
  /// targets[i] = epilogue_i(x W_i^T + b_i), x given by `input`. The targets' memory does not
  /// overlap that of the input; a residual may be the target itself.
  void run(Kernels& kernels, const Producer& input, std::span<const Target> targets) const;
  void run(Kernels& kernels, const Producer& input, std::initializer_list<Target> targets) const {
    run(kernels, input, std::span(targets.begin(), targets.size()));
  }
  /// One layer alone.
  void run(Kernels& kernels, const Producer& input, const Rows& out,
           const Epilogue& epilogue = {}) const {
    run(kernels, input, {Target{out, epilogue}});
  }

 private:
  std::vector<Linear> parts_;
};

}  // namespace fluxq

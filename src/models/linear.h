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
      : scheme_(std::move(scheme)),
        weight_(std::move(weight)),
        bias_(std::move(bias)),
        input_scale_(std::move(input_scale)) {}

  bool empty() const { return weight_ == nullptr; }
  int64_t out() const { return weight_->out; }
  int64_t in() const { return weight_->in; }

 private:
  friend class Linears;
  std::shared_ptr<SchemeKernels> scheme_;
  std::shared_ptr<DeviceWeight> weight_;
  Tensor bias_;         // [out], the stream's dtype, or empty
  Tensor input_scale_;  // [in] f32, or empty
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

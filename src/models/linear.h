/// The only door from a model to a scheme: linear layers, loaded by name and run on a device.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "quant/recipe.h"
#include "quant/scheme.h"

namespace fluxq {

/// y = x W^T + b on the device. Copies share the weight.
class Linear {
 public:
  int64_t out() const { return weight_->out; }
  int64_t in() const { return weight_->in; }

 private:
  friend class LinearLoader;
  friend class Linears;
  SchemeKernels* scheme_ = nullptr;
  std::shared_ptr<DeviceWeight> weight_;
  Tensor bias_;  // [out], the stream's dtype, or empty
};

/// Linears that read the same input: it is prepared once per scheme among them.
class Linears {
 public:
  Linears() = default;
  Linears(std::initializer_list<Linear> parts) : parts_(parts) {}

  struct Target {
    Rows out;
    Epilogue epilogue;  ///< its bias is filled in from the layer
  };
  /// targets[i] = epilogue_i(x W_i^T + b_i), x given by `input`.
  void run(Kernels& kernels, const Producer& input, std::span<const Target> targets) const;
  /// One layer alone.
  void run(Kernels& kernels, const Producer& input, const Rows& out,
           const Epilogue& epilogue = {}) const;

 private:
  std::vector<Linear> parts_;
};

}  // namespace fluxq

/// What this machine can do at most, measured: the ceilings that achieved rates are shares of.
#pragma once

#include <map>
#include <string>

#include "kernels/kernels.h"

namespace fluxq {

struct Ceilings {
  /// Multiply-adds count as two, per second, by the type of the operands: "f32", "bf16", "s8".
  std::map<std::string, double> flops;
  double bytes = 0;  ///< per second, reading memory that no cache holds
};

/// The best of several large matrix products per type and of several passes over a large buffer.
/// Takes about a second.
Ceilings measure_ceilings(Kernels& kernels);

}  // namespace fluxq

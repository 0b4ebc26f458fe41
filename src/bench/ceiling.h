/// What this machine can do at most, measured: the ceilings that achieved rates are shares of.
#pragma once

#include <map>
#include <string>

#include "kernels/kernels.h"

namespace fluxq {

struct Ceilings {
  /// By the type of the operands, as arithmetic_of() (report/analysis.h) names it: multiply-adds of
  /// the whole matrices per second, each as two (2:4 too, whose products leave half of them out).
  std::map<std::string, double> flops;
  /// Per second, of memory that no cache holds: a CPU's reading, a GPU's copying (read and
  /// written).
  double bytes = 0;
};

/// The best of several large products, by the schemes' own kernels without the quantization of
/// their input, and of several passes over a large buffer. Takes about a second on a CPU, a few on
/// a GPU, and there up to 5 GB. Errors: those of the operations.
Ceilings measure_ceilings(Kernels& kernels);

}  // namespace fluxq

/// Does a part of a model hold the tensors that its config asks for? Asked before anything is
/// allocated for them.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "checkpoint/tensor_source.h"

namespace fluxq {

/// The types that weights are stored in.
inline constexpr DType kWeightDTypes[] = {DType::f32, DType::f16, DType::bf16};

/// One tensor as the config implies it.
struct ExpectedTensor {
  std::string name;
  Shape shape;
  std::span<const DType> dtypes = kWeightDTypes;  ///< any of these; static storage
};

/// Error(corrupt_file) naming the first tensor that is missing (with the nearest names that are
/// there), or has another shape or dtype, and how many more are wrong. Returns warnings: tensors of
/// the source that nobody expects, unless their names begin with one of `unused`.
std::vector<std::string> check_expected(const TensorSource& source,
                                        std::span<const ExpectedTensor> expected,
                                        std::span<const std::string_view> unused = {});

}  // namespace fluxq

/// What every scheme promises (DESIGN.md, "Schemes"), one function per promise. Each returns what
/// it found wrong, nothing when the promise holds, so that broken toy schemes can show that it
/// would notice (toy_test.cc).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "quant/conformance/inputs.h"
#include "quant/scheme.h"

namespace fluxq::conformance {

using Failures = std::vector<std::string>;

/// A scheme on a device.
struct Subject {
  const Scheme& scheme;
  /// The device's kernels; a GPU ignores the number of threads.
  std::function<std::unique_ptr<Kernels>(int threads)> kernels;
};

/// unpack(pack(w)) is within pack_bound(w) of w, for weights of each dtype, difficult ones too; and
/// the bound says something: it is finite, and below a normal weight's own size.
Failures packs_within_bound(const Subject& subject);

/// pack() gives the parts of layout(), bytes() their sum, bits_per_weight the size of a large
/// layer.
Failures declares_its_parts(const Subject& subject);

/// Any shape is packed or refused with a reason, by pack() and check() alike; odd ones multiply.
Failures takes_or_refuses_shapes(const Subject& subject);

/// dequantize(prepare(input)) is within input_bound of what Kernels::produce gives for the same
/// producer.
Failures prepares_within_bound(const Subject& subject);

/// matmul equals dequantize(prepare(x)) x unpack(w) with its epilogue, computed in double, up to
/// the rounding of float sums.
Failures multiplies_what_is_stored(const Subject& subject);

/// A weight loaded in two windows of columns gives, for each, the product with these columns.
Failures splits_columns(const Subject& subject);

/// A weight joined of several gives the outputs of each, side by side. Nothing is asked of schemes
/// that do not join.
Failures joins_outputs(const Subject& subject);

/// A weight packed on the device has the bytes of Scheme::pack, and a NaN in it is refused alike.
/// Nothing is asked of devices that do not pack.
Failures packs_alike_on_the_device(const Subject& subject);

/// NaN and Inf in a weight: Error(numeric) with the weight's name and the element's index.
Failures refuses_weights_without_a_number(const Subject& subject);

/// A NaN in an input makes its output row NaN and touches no other sample.
Failures keeps_nan_in_its_place(const Subject& subject);

/// The same bytes with 1, 2 and 5 threads.
Failures does_not_depend_on_threads(const Subject& subject);

/// A sample gives the same bytes alone and in a batch.
Failures does_not_depend_on_the_batch(const Subject& subject);

/// check() accepts what pack() gives and refuses, naming the weight: absent parts, too few of them,
/// wrong dtypes and shapes, scales that are zero, negative, NaN or Inf.
Failures refuses_corrupt_parts(const Subject& subject);

struct Property {
  std::string_view name;
  Failures (*check)(const Subject&);
};
inline constexpr Property kProperties[] = {
    {"packs_within_bound", packs_within_bound},
    {"declares_its_parts", declares_its_parts},
    {"takes_or_refuses_shapes", takes_or_refuses_shapes},
    {"prepares_within_bound", prepares_within_bound},
    {"multiplies_what_is_stored", multiplies_what_is_stored},
    {"splits_columns", splits_columns},
    {"joins_outputs", joins_outputs},
    {"packs_alike_on_the_device", packs_alike_on_the_device},
    {"refuses_weights_without_a_number", refuses_weights_without_a_number},
    {"keeps_nan_in_its_place", keeps_nan_in_its_place},
    {"does_not_depend_on_threads", does_not_depend_on_threads},
    {"does_not_depend_on_the_batch", does_not_depend_on_the_batch},
    {"refuses_corrupt_parts", refuses_corrupt_parts},
};

}  // namespace fluxq::conformance

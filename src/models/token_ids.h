/// Token ids come from a tokenizer that may belong to another model than the weights.
#pragma once

#include <string_view>

#include "tensor/tensor.h"

namespace fluxq {

/// Error(internal) unless `ids` is a host tensor i32 [batch, tokens]; Error(corrupt_file) naming
/// the model's `part` for an id outside [0, vocabulary).
inline void check_token_ids(const Tensor& ids, int64_t vocabulary, std::string_view part) {
  if (ids.rank() != 2 || ids.dtype() != DType::i32 || ids.device() != Device::cpu)
    fail(ErrorCode::internal, "{}: expected token ids I32 [batch, tokens], got {} {}", part,
         dtype_name(ids.dtype()), to_string(ids.shape()));
  for (int64_t i = 0; i < ids.elements(); ++i) {
    const int32_t id = ids.data<int32_t>()[i];
    if (id >= 0 && id < vocabulary) continue;
    fail(ErrorCode::corrupt_file,
         "{}: token id: expected one of the {} of its vocabulary, got {}: tokenizer and weights do "
         "not belong together",
         part, vocabulary, id);
  }
}

}  // namespace fluxq

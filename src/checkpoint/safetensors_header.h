/// The header of a safetensors file: which tensors lie where. Follows the format's README and its
/// Rust reference (huggingface/safetensors), and is stricter where those leave room: see the
/// verdicts at parse_safetensors_header(). Pure: bytes in, entries or Error out.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/tensor.h"

namespace fluxq {

/// The file begins with the header's length as a little-endian u64.
inline constexpr uint64_t kSafetensorsPrefixBytes = 8;
/// What we read by default (FLUX needs about 100 kB), and what the format allows at most.
inline constexpr uint64_t kDefaultMaxHeaderBytes = 16 << 20;
inline constexpr uint64_t kFormatMaxHeaderBytes = 100'000'000;

/// One tensor as declared.
struct TensorEntry {
  DType dtype = DType::f32;
  Shape shape;
  uint64_t offset = 0;  ///< of the first byte, from the end of the header
  uint64_t bytes = 0;

  bool operator==(const TensorEntry&) const = default;
};

using TensorEntries = std::map<std::string, TensorEntry, std::less<>>;
using Metadata = std::map<std::string, std::string, std::less<>>;

struct SafetensorsHeader {
  TensorEntries tensors;
  Metadata metadata;
  std::vector<std::string> warnings;  ///< full sentences
};

/// Parses and checks the JSON text. `data_bytes` is what follows the header in the file, `where`
/// its path. Error(corrupt_file) unless: one JSON object, at most 8 levels deep, no name twice; at
/// most 65,536 tensors with names of 1 to 512 bytes without control characters; `__metadata__`
/// strings only, at most 1 MiB; each tensor an object with dtype, shape (at most 8 dimensions; none
/// and zeros are fine) and data_offsets whose length is that of shape and dtype; all tensors
/// together cover the data from 0 to its end without hole or overlap. Error(unsupported) for dtypes
/// of the format that fluxq has no use for (F4, C64, …). Unknown fields of a tensor give a warning.
SafetensorsHeader parse_safetensors_header(std::string_view text, uint64_t data_bytes,
                                           std::string_view where);

/// Checks a tensor's name by the rule above.
void check_tensor_name(std::string_view name, std::string_view where);

}  // namespace fluxq

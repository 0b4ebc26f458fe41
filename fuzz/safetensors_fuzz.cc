/// A safetensors file: header, entries, data.
#include <cstdint>
#include <cstring>

#include "checkpoint/safetensors.h"
#include "target.h"

namespace fluxq::fuzz {

void read(std::string_view input) {
  static const Scratch scratch;
  const SafetensorsFile file(scratch.put("x.safetensors", input));
  uint64_t bytes = 0;
  for (const auto& [name, entry] : file.entries()) {
    bytes += entry.bytes;
    expect(
        entry.bytes == static_cast<uint64_t>(element_count(entry.shape) * dtype_bytes(entry.dtype)),
        "an entry's bytes are those of its shape");
    file.read(name);
  }
  expect(bytes == file.data_bytes(), "entries cover the data");
}

/// The length of the header: up to the last "}" that is followed by nothing but spaces or data. The
/// data is cut or filled up to what the last offset says, as far as that can be seen.
std::string repaired(std::string input) {
  if (input.size() < 9) return input;
  size_t end = input.find("}}", 8);
  end = end == input.npos ? input.rfind('}') : end + 1;
  if (end == input.npos || end < 8) return input;
  const uint64_t length = end + 1 - 8;
  std::memcpy(input.data(), &length, sizeof length);  // little-endian, as this machine
  uint64_t data = 0;
  for (size_t at = 8; (at = input.find("data_offsets\":[", at)) < end; ++at) {
    const size_t comma = input.find(',', at + 15);
    if (comma >= end) break;
    data = std::max<uint64_t>(data, std::strtoull(input.c_str() + comma + 1, nullptr, 10));
  }
  if (data <= 4096) input.resize(end + 1 + data, '\x01');
  return input;
}

}  // namespace fluxq::fuzz

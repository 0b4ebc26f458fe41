/// For tests: safetensors files put together by hand, valid or not.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/file.h"
#include "base/test_support.h"

namespace fluxq {

/// The eight bytes before the header.
inline std::string length_prefix(uint64_t header_bytes) {
  return std::string(reinterpret_cast<const char*>(&header_bytes), sizeof header_bytes);
}

inline std::string safetensors_bytes(std::string_view header, std::string_view data) {
  return length_prefix(header.size()) + std::string(header) + std::string(data);
}

inline void write_safetensors(const std::filesystem::path& path, std::string_view header,
                              std::string_view data) {
  write_test_file(path, safetensors_bytes(header, data));
}

/// A header with one F32 scalar per name, in this order, and its data of zeros.
inline std::string scalars_header(const std::vector<std::string>& names) {
  std::string header = "{";
  for (size_t i = 0; i < names.size(); ++i)
    header += fmt::format(R"({}"{}":{{"dtype":"F32","shape":[],"data_offsets":[{},{}]}})",
                          i == 0 ? "" : ",", names[i], 4 * i, 4 * i + 4);
  return header + "}";
}

inline void write_scalars(const std::filesystem::path& path,
                          const std::vector<std::string>& names) {
  write_safetensors(path, scalars_header(names), std::string(4 * names.size(), '\0'));
}

}  // namespace fluxq

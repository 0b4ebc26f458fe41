/// For the tests of this room.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>

#include "base/file.h"
#include "base/json.h"

namespace fluxq {

inline std::filesystem::path golden_path(std::string_view name) {
  return std::filesystem::path(FLUXQ_SOURCE_DIR "/tests/golden/tokenizers") / name;
}

inline Json read_golden_json(std::string_view name) {
  return parse_json(read_text_file(golden_path(name), 1 << 20), name);
}

inline uint64_t fnv1a(std::span<const std::byte> bytes) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const std::byte byte : bytes) hash = (hash ^ static_cast<uint64_t>(byte)) * 0x100000001b3u;
  return hash;
}

inline void write(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

}  // namespace fluxq

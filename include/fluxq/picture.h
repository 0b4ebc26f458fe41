/// A picture with the story of how it was made, and how to keep both in one PNG file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "fluxq/image.h"

namespace fluxq {

/// Enough to make the same bytes again.
struct PictureInfo {
  std::string prompt;  ///< UTF-8, without NUL, at most 1 MiB
  uint64_t seed = 0;
  int steps = 0;
  int width = 0;  ///< pixels as generated
  int height = 0;
  double guidance = 0;
  int max_text_tokens = 0;
  std::string scheme;              ///< "bf16"
  std::string recipe;              ///< empty: the scheme's default recipe
  std::string sampler;             ///< "flow_match_euler shift=3"
  std::string model;               ///< name of the model's folder or "org/name", not a path
  std::string weights_sha256;      ///< 64 lower-case hex digits; empty where there is no file
  std::string version;             ///< of fluxq
  std::string device = "cpu";      ///< "cpu" or "cuda": another one gives other bytes
  std::string attention = "bf16";  ///< EngineOptions::attention

  bool operator==(const PictureInfo&) const = default;
};

struct Picture {
  Image image;
  PictureInfo info;
};

/// Writes the picture and its info as a PNG file, complete or not at all; an existing file is
/// replaced. Errors: disk_full, not_found (no such folder), io.
void write_png(const std::filesystem::path& file, const Picture& picture);

}  // namespace fluxq

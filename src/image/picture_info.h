/// How a picture was made: enough to make the same bytes again (`fluxq generate --like`).
/// Kept in the PNG as one uncompressed iTXt chunk, keyword "fluxq", holding a JSON object, so that
/// any PNG tool shows it and any language can read it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace fluxq {

struct PictureInfo {
  std::string prompt;  ///< UTF-8, without NUL, at most 1 MiB
  uint64_t seed = 0;
  int steps = 0;
  int width = 0;  ///< pixels as generated
  int height = 0;
  double guidance = 0;
  int max_text_tokens = 0;
  std::string scheme;          ///< "bf16"
  std::string recipe;          ///< empty: the scheme's default recipe
  std::string sampler;         ///< "flow_match_euler shift=3"
  std::string model;           ///< name of the model's folder, not a path
  std::string weights_sha256;  ///< 64 lower-case hex digits; empty where there is no file
  std::string version;         ///< of fluxq

  bool operator==(const PictureInfo&) const = default;
};

/// Keyword of the PNG text chunk.
inline constexpr std::string_view kPictureInfoKeyword = "fluxq";

/// Compact JSON with all fields, always the same bytes for the same info. bad_argument for text
/// that is not UTF-8 or contains NUL, a prompt that is too long, guidance that is not finite, or a
/// hash that is none.
std::string to_json(const PictureInfo& info);

/// The reverse. corrupt_file (naming `where` and the key) for anything to_json does not write,
/// except that unknown keys are passed over; unsupported when a newer format number says so.
PictureInfo picture_info_from_json(std::string_view json, std::string_view where);

/// The info of a PNG file's bytes. not_found when the picture is sound but carries none; errors of
/// decode_png otherwise.
PictureInfo read_picture_info(std::span<const std::byte> png, std::string_view where);

}  // namespace fluxq

/// How a picture was made: enough to make the same bytes again (`fluxq generate --like`).
/// Kept in the PNG as one uncompressed iTXt chunk, keyword "fluxq", holding a JSON object, so that
/// any PNG tool shows it and any language can read it.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "fluxq/picture.h"

namespace fluxq {

/// Keyword of the PNG text chunk.
inline constexpr std::string_view kPictureInfoKeyword = "fluxq";

/// Compact JSON with all fields but the usual attention, "bf16", always the same bytes for the same
/// info. bad_argument for text that is not UTF-8 or contains NUL, a prompt that is too long,
/// guidance that is not finite, or a hash that is none.
std::string to_json(const PictureInfo& info);

/// The reverse. corrupt_file (naming `where` and the key) for anything to_json does not write,
/// except that unknown keys are passed over, and that pictures without a device are the CPU's,
/// those without an attention "bf16"; unsupported when a newer format number says so.
PictureInfo picture_info_from_json(std::string_view json, std::string_view where);

/// The info of a PNG file's bytes. not_found when the picture is sound but carries none; errors of
/// decode_png otherwise.
PictureInfo read_picture_info(std::span<const std::byte> png, std::string_view where);

}  // namespace fluxq

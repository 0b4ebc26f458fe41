#include "image/picture_info.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/json.h"
#include "base/text.h"
#include "image/png.h"

namespace fluxq {
namespace {

constexpr int kFormat = 1;
constexpr size_t kMaxPromptBytes = size_t{1} << 20;

// One list of the fields serves writing and reading.
template <typename Info, typename Visit>
void visit_fields(Info& info, Visit&& visit) {
  visit("fluxq", info.version);
  visit("model", info.model);
  visit("weights_sha256", info.weights_sha256);
  visit("prompt", info.prompt);
  visit("seed", info.seed);
  visit("steps", info.steps);
  visit("width", info.width);
  visit("height", info.height);
  visit("guidance", info.guidance);
  visit("max_text_tokens", info.max_text_tokens);
  visit("scheme", info.scheme);
  visit("recipe", info.recipe);
  visit("sampler", info.sampler);
  visit("device", info.device);
  visit("attention", info.attention);
}

// What is wrong with the values, or an empty string. Used on the way in and on the way out.
std::string find_fault(const PictureInfo& info) {
  std::string fault;
  visit_fields(info, [&](const char* key, const auto& value) {
    if constexpr (std::is_same_v<decltype(value), const std::string&>) {
      if (value.find('\0') != std::string::npos || !is_utf8(value))
        fault = fmt::format("{}: expected UTF-8 text without NUL, got {}", key, in_quotes(value));
    } else if constexpr (std::is_same_v<decltype(value), const int&>) {
      if (value < 0) fault = fmt::format("{}: expected at least 0, got {}", key, value);
    }
  });
  if (info.prompt.size() > kMaxPromptBytes)
    fault = fmt::format("prompt: expected at most {} bytes, got {}", kMaxPromptBytes,
                        info.prompt.size());
  if (!std::isfinite(info.guidance))
    fault = fmt::format("guidance: expected a finite number, got {}", info.guidance);
  const auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  if (const std::string& hash = info.weights_sha256;
      !hash.empty() && (hash.size() != 64 || !std::all_of(hash.begin(), hash.end(), is_hex)))
    fault = fmt::format("weights_sha256: expected 64 hexadecimal digits or nothing, got {}",
                        in_quotes(hash));
  return fault;
}

void read_field(const Json& json, std::string_view key, std::string_view where,
                std::string& value) {
  value = require_string(json, key, where);
}

void read_field(const Json& json, std::string_view key, std::string_view where, int& value) {
  value = static_cast<int>(require_int(json, key, where, 0, std::numeric_limits<int>::max()));
}

void read_field(const Json& json, std::string_view key, std::string_view where, double& value) {
  value = require_number(json, key, where);
}

// Seeds use all 64 bits, which require_int does not.
void read_field(const Json& json, std::string_view key, std::string_view where, uint64_t& value) {
  const Json* member = find_member(json, key, where);
  if (member == nullptr || !member->is_number_unsigned())
    fail(ErrorCode::corrupt_file, "{}: {}: expected an integer of 0 to 2^64 - 1, got {}", where,
         key, member == nullptr ? "nothing" : describe(*member));
  value = member->get<uint64_t>();
}

}  // namespace

std::string to_json(const PictureInfo& info) {
  if (const std::string fault = find_fault(info); !fault.empty())
    fail(ErrorCode::bad_argument, "picture metadata: {}", fault);
  Json json = {{"format", kFormat}};
  visit_fields(info, [&](const char* key, const auto& value) { json[key] = value; });
  if (info.attention == PictureInfo().attention) json.erase("attention");
  return json.dump();
}

PictureInfo picture_info_from_json(std::string_view text, std::string_view where) {
  const Json json = parse_json(text, where, {.depth = 8, .bytes = 8 << 20, .values = 1 << 16});
  const int64_t format = require_int(json, "format", where, 1, 1 << 30);
  if (format != kFormat)
    fail(ErrorCode::unsupported, "{}: expected metadata of format {}, got {} (a newer fluxq?)",
         where, kFormat, format);
  PictureInfo info;
  visit_fields(info, [&](std::string_view key, auto& value) {
    // Older pictures do not say: there was the CPU only. The usual attention is never said.
    if ((key == "device" || key == "attention") && find_member(json, key, where) == nullptr) return;
    read_field(json, key, where, value);
  });
  if (const std::string fault = find_fault(info); !fault.empty())
    fail(ErrorCode::corrupt_file, "{}: {}", where, fault);
  return info;
}

PictureInfo read_picture_info(std::span<const std::byte> png, std::string_view where) {
  for (const PngText& entry : decode_png(png, where).text)
    if (entry.keyword == kPictureInfoKeyword)
      return picture_info_from_json(entry.text, fmt::format("{}, its fluxq metadata", where));
  fail(ErrorCode::not_found, "{}: a PNG without fluxq metadata: not made by fluxq, or stripped",
       where);
}

}  // namespace fluxq

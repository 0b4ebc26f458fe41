#include "image/picture_info.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "image/png.h"

namespace fluxq {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kFormat = 1;
constexpr size_t kMaxPromptBytes = size_t{1} << 20;
constexpr int kMaxDepth = 8;  // of JSON that is read; ours has depth 1

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
}

// What is wrong with the values, or an empty string. Used on the way in and on the way out.
std::string find_fault(const PictureInfo& info) {
  std::string fault;
  visit_fields(info, [&](std::string_view key, const auto& value) {
    if constexpr (std::is_same_v<decltype(value), const std::string&>) {
      if (value.find('\0') != std::string::npos)
        fault = fmt::format("\"{}\": expected text without NUL characters", key);
    }
  });
  if (info.prompt.size() > kMaxPromptBytes)
    fault = fmt::format("\"prompt\": expected at most {} bytes, got {}", kMaxPromptBytes,
                        info.prompt.size());
  if (!std::isfinite(info.guidance)) fault = "\"guidance\": expected a finite number";
  for (const int count : {info.steps, info.width, info.height, info.max_text_tokens})
    if (count < 0) fault = fmt::format("expected counts of at least 0, got {}", count);
  const auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  if (const std::string& hash = info.weights_sha256;
      !hash.empty() && (hash.size() != 64 || !std::all_of(hash.begin(), hash.end(), is_hex)))
    fault = "\"weights_sha256\": expected 64 hexadecimal digits or nothing";
  return fault;
}

bool assign(const Json& json, std::string& value) {
  if (!json.is_string()) return false;
  value = json.get<std::string>();
  return true;
}

bool assign(const Json& json, uint64_t& value) {
  if (!json.is_number_unsigned()) return false;
  value = json.get<uint64_t>();
  return true;
}

bool assign(const Json& json, int& value) {
  uint64_t wide = 0;
  if (!assign(json, wide) || wide > uint64_t{std::numeric_limits<int>::max()}) return false;
  value = static_cast<int>(wide);
  return true;
}

bool assign(const Json& json, double& value) {
  if (!json.is_number()) return false;
  value = json.get<double>();
  return true;
}

Json parse(std::string_view text, std::string_view where) {
  const auto limit_depth = [&](int depth, Json::parse_event_t, Json&) {
    if (depth > kMaxDepth)
      fail(ErrorCode::corrupt_file, "{}: expected JSON at most {} deep, got more", where,
           kMaxDepth);
    return true;
  };
  try {
    return Json::parse(text, limit_depth);
  } catch (const Json::exception& error) {
    fail(ErrorCode::corrupt_file, "{}: expected a JSON object, got: {}", where, error.what());
  }
}

}  // namespace

std::string to_json(const PictureInfo& info) {
  if (const std::string fault = find_fault(info); !fault.empty())
    fail(ErrorCode::bad_argument, "picture metadata, {}", fault);
  Json json = {{"format", kFormat}};
  visit_fields(info,
               [&](std::string_view key, const auto& value) { json[std::string(key)] = value; });
  try {
    return json.dump();
  } catch (const Json::exception&) {
    fail(ErrorCode::bad_argument, "picture metadata: expected text in UTF-8, got other bytes");
  }
}

PictureInfo picture_info_from_json(std::string_view text, std::string_view where) {
  const Json json = parse(text, where);
  const auto format = json.find("format");
  if (!json.is_object() || format == json.end() || !format->is_number_unsigned())
    fail(ErrorCode::corrupt_file, "{}: expected an object with a number \"format\"", where);
  if (*format != kFormat)
    fail(ErrorCode::unsupported, "{}: expected metadata of format {}, got {} (a newer fluxq?)",
         where, kFormat, format->get<uint64_t>());
  PictureInfo info;
  visit_fields(info, [&](std::string_view key, auto& value) {
    const auto found = json.find(std::string(key));
    if (found == json.end())
      fail(ErrorCode::corrupt_file, "{}: expected key \"{}\", got none", where, key);
    if (!assign(*found, value))
      fail(ErrorCode::corrupt_file, "{}: \"{}\" has the wrong type or is out of range", where, key);
  });
  if (const std::string fault = find_fault(info); !fault.empty())
    fail(ErrorCode::corrupt_file, "{}, {}", where, fault);
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

#include "tokenizers/tokenizer.h"

#include <algorithm>

#include "base/error.h"
#include "base/text.h"

namespace fluxq {
namespace {

constexpr size_t kMaxTextBytes = 16 << 20;
constexpr int kMaxTokens = 1 << 20;
constexpr size_t kMaxCutTokens = 64;

}  // namespace

TokenIds Tokenizer::encode(std::string_view utf8_text, int max_tokens) const {
  const size_t frame_size = frame_.begin.size() + 1;
  if (max_tokens < static_cast<int>(frame_size) || max_tokens > kMaxTokens)
    fail(ErrorCode::bad_argument, "number of text tokens: expected {} to {}, got {}", frame_size,
         kMaxTokens, max_tokens);
  if (utf8_text.size() > kMaxTextBytes)
    fail(ErrorCode::bad_argument, "prompt: expected at most {} bytes, got {}", kMaxTextBytes,
         utf8_text.size());
  if (const size_t bad = find_invalid_utf8(utf8_text); bad != std::string_view::npos)
    fail(ErrorCode::bad_argument, "prompt: expected UTF-8, got byte 0x{:02X} at byte offset {}",
         static_cast<unsigned char>(utf8_text[bad]), bad);

  const std::vector<int32_t> tokens = tokenize(utf8_text);
  const size_t kept = std::min(tokens.size(), static_cast<size_t>(max_tokens) - frame_size);
  TokenIds result;
  result.total = static_cast<int64_t>(tokens.size() + frame_size);
  result.used = static_cast<int>(kept + frame_size);
  result.ids.reserve(static_cast<size_t>(max_tokens));
  result.ids = frame_.begin;
  result.ids.insert(result.ids.end(), tokens.begin(),
                    tokens.begin() + static_cast<std::ptrdiff_t>(kept));
  result.ids.push_back(frame_.end);
  result.ids.resize(static_cast<size_t>(max_tokens), frame_.pad);
  if (const size_t cut = tokens.size() - kept; cut > 0) {
    result.cut_text = decode(std::span(tokens).subspan(kept, std::min(cut, kMaxCutTokens)));
    // Tokens of single bytes may begin or end inside a character.
    for (size_t bad; (bad = find_invalid_utf8(result.cut_text)) != std::string::npos;)
      result.cut_text.erase(bad, 1);
    if (cut > kMaxCutTokens) result.cut_text += "…";
  }
  return result;
}

}  // namespace fluxq

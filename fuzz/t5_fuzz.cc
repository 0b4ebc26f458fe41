/// T5's tokenizer: spiece.model, tokenizer.json, tokenizer_config.json, special_tokens_map.json and
/// a text, in this order.
#include "base/text.h"
#include "target.h"
#include "tokenizers/tokenizer.h"

namespace fluxq::fuzz {

void read(std::string_view input) {
  static const Scratch scratch;
  const auto parts = split(input, 5);
  scratch.put("spiece.model", parts[0].empty() ? std::string_view() : parts[0]);
  scratch.put("tokenizer.json", parts[1].empty() ? std::string_view() : parts[1]);
  scratch.put("tokenizer_config.json", parts[2]);
  scratch.put("special_tokens_map.json", parts[3]);
  const auto tokenizer = load_t5_unigram(scratch.path());
  const TokenIds ids = tokenizer->encode(parts[4], 16);
  expect(ids.ids.size() == 16, "there are as many ids as asked for");
  for (const int32_t id : ids.ids)
    expect(id >= 0 && id < tokenizer->vocab_size(), "each id is in the vocabulary");
  expect(is_utf8(ids.cut_text), "what was cut is UTF-8");
}

namespace {

/// Reads a protobuf varint at `at` and moves on; nothing at the end.
bool skip_varint(std::string_view bytes, size_t& at, uint64_t& value) {
  value = 0;
  for (int shift = 0; at < bytes.size() && shift < 64; shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes[at++]);
    value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

}  // namespace

/// The length of the last field of the protobuf message that is too long for it.
std::string repaired(std::string input) {
  const size_t end = std::min(input.find("\n%%\n"), input.size());
  const std::string_view message = std::string_view(input).substr(0, end);
  for (size_t at = 0; at < end;) {
    uint64_t tag = 0, length = 0;
    if (!skip_varint(message, at, tag) || (tag & 7) != 2) return input;
    const size_t place = at;
    if (!skip_varint(message, at, length)) return input;
    if (length <= end - at) {
      at += length;
      continue;
    }
    if (at == place + 1 && end - at < 0x80) input[place] = static_cast<char>(end - at);
    return input;
  }
  return input;
}

}  // namespace fluxq::fuzz

/// CLIP's tokenizer: vocab.json, merges.txt, tokenizer.json, tokenizer_config.json,
/// special_tokens_map.json and a text, in this order.
#include "base/text.h"
#include "target.h"
#include "tokenizers/tokenizer.h"

namespace fluxq::fuzz {

void read(std::string_view input) {
  static const Scratch scratch;
  const auto parts = split(input, 6);
  scratch.put("vocab.json", parts[0]);
  scratch.put("merges.txt", parts[1]);
  scratch.put("tokenizer.json", parts[2].empty() ? std::string_view() : parts[2]);
  scratch.put("tokenizer_config.json", parts[3]);
  scratch.put("special_tokens_map.json", parts[4]);
  const auto tokenizer = load_clip_bpe(scratch.path());
  const TokenIds ids = tokenizer->encode(parts[5], 16);
  expect(ids.ids.size() == 16, "there are as many ids as asked for");
  for (const int32_t id : ids.ids)
    expect(id >= 0 && id < tokenizer->vocab_size(), "each id is in the vocabulary");
  expect(is_utf8(ids.cut_text), "what was cut is UTF-8");
}

std::string repaired(std::string input) { return input; }

}  // namespace fluxq::fuzz

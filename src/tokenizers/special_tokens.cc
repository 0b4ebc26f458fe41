#include "tokenizers/special_tokens.h"

#include <algorithm>
#include <climits>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "tokenizers/unicode.h"

namespace fluxq {
namespace {

constexpr size_t kMaxTokens = 1 << 14;
constexpr size_t kMaxTokenBytes = 512;
constexpr int64_t kMaxId = (1 << 24) - 1;
constexpr int kMaxExtraIds = 1 << 12;

std::optional<Json> read_if_there(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return std::nullopt;
  Json json = parse_json(read_text_file(path, kTokenizerJson.bytes), path.string(), kTokenizerJson);
  if (!json.is_object())
    fail(ErrorCode::corrupt_file, "{}: expected an object, got {}", path.string(), describe(json));
  return json;
}

// A token is a string or an object with its content and flags. `normalized` is what it is if the
// object does not say.
SpecialToken parse_token(const Json& json, const std::string& where, bool normalized) {
  SpecialToken token;
  if (json.is_string()) {
    token.content = json.get<std::string>();
  } else {
    token.content = require_string(json, "content", where);
    token.normalized = optional_bool(json, "normalized", where, normalized);
    token.lstrip = optional_bool(json, "lstrip", where, false);
    token.rstrip = optional_bool(json, "rstrip", where, false);
    if (optional_bool(json, "single_word", where, false))
      fail(ErrorCode::unsupported, "{}: token {} matches single words only, which fluxq cannot do",
           where, in_quotes(token.content));
  }
  if (token.content.empty() || token.content.size() > kMaxTokenBytes)
    fail(ErrorCode::corrupt_file, "{}: expected a token of 1 to {} bytes, got {}", where,
         kMaxTokenBytes, token.content.size());
  return token;
}

// Collects tokens in transformers' order of precedence: added tokens by id, then the named ones,
// then the rest. The first definition of a content counts.
class Collector {
 public:
  void add_with_id(int64_t id, SpecialToken token, const std::string& where) {
    if (!by_id_.emplace(id, token).second)
      fail(ErrorCode::corrupt_file, "{}: expected different ids, got {} twice", where, id);
    const auto [entry, is_new] = ids_.emplace(token.content, static_cast<int32_t>(id));
    if (!is_new && entry->second != id)
      fail(ErrorCode::corrupt_file, "{}: token {} has the ids {} and {}", where,
           in_quotes(token.content), entry->second, id);
  }
  void set_named(const std::string& role, SpecialToken token) { named_[role] = std::move(token); }
  void add_extra(SpecialToken token) { extra_.push_back(std::move(token)); }

  void finish(SpecialTokensConfig& config) {
    for (auto& [id, token] : by_id_) config.tokens.push_back(std::move(token));
    for (const auto& [role, token] : named_) config.tokens.push_back(token);
    for (SpecialToken& token : extra_) config.tokens.push_back(std::move(token));
    config.stated_ids = std::move(ids_);
    for (const auto& [role, content] :
         {std::pair("bos_token", &config.bos), std::pair("eos_token", &config.eos),
          std::pair("unk_token", &config.unk), std::pair("pad_token", &config.pad)})
      if (const auto found = named_.find(role); found != named_.end())
        *content = found->second.content;
  }

 private:
  std::map<int64_t, SpecialToken> by_id_;
  std::map<std::string, int32_t> ids_;
  std::map<std::string, SpecialToken> named_;
  std::vector<SpecialToken> extra_;
};

constexpr std::string_view kRoles[] = {"bos_token", "cls_token", "eos_token", "mask_token",
                                       "pad_token", "sep_token", "unk_token"};

// The members of tokenizer_config.json and special_tokens_map.json that hold tokens.
void collect_named(const Json& json, const std::string& where, Collector& collector) {
  for (const std::string_view role : kRoles) {
    const Json* value = find_member(json, role, where);
    if (value != nullptr && !value->is_null())
      collector.set_named(std::string(role),
                          parse_token(*value, fmt::format("{}: {}", where, role), false));
  }
  for (const std::string_view key : {"extra_special_tokens", "additional_special_tokens"}) {
    const Json* list = find_member(json, key, where);
    if (list == nullptr || list->is_null()) continue;
    if (!list->is_array() && !list->is_object())
      fail(ErrorCode::corrupt_file, "{}: {}: expected a list of tokens, got {}", where, key,
           describe(*list));
    for (const Json& value : *list)
      collector.add_extra(parse_token(value, fmt::format("{}: {}", where, key), false));
  }
}

void collect_added_tokens_decoder(const Json& decoder, const std::string& where,
                                  Collector& collector) {
  if (!decoder.is_object())
    fail(ErrorCode::corrupt_file, "{}: expected an object, got {}", where, describe(decoder));
  for (const auto& [key, value] : decoder.items()) {
    const bool digits =
        !key.empty() && key.size() <= 8 &&
        std::all_of(key.begin(), key.end(), [](char c) { return c >= '0' && c <= '9'; });
    const int64_t id = digits ? std::stoll(key) : -1;
    if (id < 0 || id > kMaxId)
      fail(ErrorCode::corrupt_file, "{}: expected an id in 0 to {}, got {}", where, kMaxId,
           in_quotes(key));
    const bool special = optional_bool(value, "special", where, false);
    collector.add_with_id(id, parse_token(value, where, !special), where);
  }
}

// Settings that would change the ids, and that no FLUX.1 folder has.
void refuse_unsupported(const Json& config, const std::string& where) {
  for (const std::string_view key : {"padding_side", "truncation_side"}) {
    const std::string side = optional_string(config, key, where, "right");
    if (side != "right")
      fail(ErrorCode::unsupported, "{}: {}: expected \"right\", got {}", where, key,
           in_quotes(side));
  }
  if (optional_bool(config, "split_special_tokens", where, false))
    fail(ErrorCode::unsupported, "{}: split_special_tokens: expected false, got true", where);
}

// model_max_length may be 10^30 for "no limit", which is no 64-bit integer.
int parse_model_max_length(const Json& config, const std::string& where, int fallback) {
  const double length = optional_number(config, "model_max_length", where, fallback, 1);
  return length >= INT_MAX ? INT_MAX : static_cast<int>(length);
}

}  // namespace

SpecialTokensConfig read_special_tokens(const std::filesystem::path& folder,
                                        SpecialTokensConfig config) {
  Collector collector;
  for (const auto& [role, content] :
       {std::pair("bos_token", &config.bos), std::pair("eos_token", &config.eos),
        std::pair("unk_token", &config.unk), std::pair("pad_token", &config.pad)})
    if (!content->empty()) collector.set_named(role, SpecialToken{.content = *content});

  const std::string config_path = (folder / "tokenizer_config.json").string();
  bool has_decoder = false;
  if (const auto json = read_if_there(config_path)) {
    config.model_max_length = parse_model_max_length(*json, config_path, config.model_max_length);
    config.extra_ids = static_cast<int>(
        optional_int(*json, "extra_ids", config_path, config.extra_ids, 0, kMaxExtraIds));
    collect_named(*json, config_path, collector);
    for (const std::string_view key : {"extra_special_tokens", "additional_special_tokens"}) {
      const Json* list = find_member(*json, key, config_path);
      if (list != nullptr && !list->is_object()) config.lists_extra_tokens = true;
    }
    refuse_unsupported(*json, config_path);
    if (const Json* decoder = find_member(*json, "added_tokens_decoder", config_path)) {
      has_decoder = true;
      collect_added_tokens_decoder(*decoder, config_path + ": added_tokens_decoder", collector);
    }
  }
  // Folders older than added_tokens_decoder say the same in other files.
  if (!has_decoder) {
    const auto map_path = (folder / "special_tokens_map.json").string();
    if (const auto json = read_if_there(map_path)) collect_named(*json, map_path, collector);
    std::error_code ignored;
    if (std::filesystem::exists(folder / "added_tokens.json", ignored))
      fail(ErrorCode::unsupported, "{}: expected the added tokens in tokenizer_config.json",
           (folder / "added_tokens.json").string());
    const auto file_path = (folder / "tokenizer.json").string();
    if (const auto json = read_if_there(file_path)) {
      const std::string where = file_path + ": added_tokens";
      const Json* list = find_member(*json, "added_tokens", file_path);
      if (list != nullptr && !list->is_array())
        fail(ErrorCode::corrupt_file, "{}: expected an array, got {}", where, describe(*list));
      if (list != nullptr)
        for (const Json& value : *list)
          collector.add_with_id(
              require_int(value, "id", where, 0, kMaxId),
              parse_token(value, where, !optional_bool(value, "special", where, false)), where);
    }
  }
  collector.finish(config);
  return config;
}

std::vector<SpecialTokenWithId> assign_ids(const SpecialTokensConfig& config,
                                           const std::function<int32_t(const std::string&)>& find,
                                           int32_t next_id, const std::filesystem::path& folder) {
  std::vector<SpecialTokenWithId> assigned;
  std::set<std::string_view> seen;
  for (const SpecialToken& token : config.tokens) {
    if (!seen.insert(token.content).second) continue;
    int32_t id = find(token.content);
    if (id < 0) id = next_id++;
    const auto stated = config.stated_ids.find(token.content);
    if (stated != config.stated_ids.end() && stated->second != id)
      fail(ErrorCode::corrupt_file,
           "{}: special token {}: expected id {} as in the vocabulary, got {}", folder.string(),
           in_quotes(token.content), id, stated->second);
    assigned.push_back({token, id});
  }
  if (assigned.size() > kMaxTokens)
    fail(ErrorCode::corrupt_file, "{}: expected at most {} special tokens, got {}", folder.string(),
         kMaxTokens, assigned.size());
  return assigned;
}

int32_t find_id(std::span<const SpecialTokenWithId> tokens, std::string_view content) {
  for (const SpecialTokenWithId& entry : tokens)
    if (entry.token.content == content) return entry.id;
  fail(ErrorCode::internal, "special token {} has no id", in_quotes(content));
}

SpecialTokenSplitter::SpecialTokenSplitter(std::vector<SpecialTokenWithId> tokens,
                                           Normalize normalize)
    : normalize_(std::move(normalize)) {
  std::array<std::vector<PieceIndex::Entry>, 2> entries;
  for (SpecialTokenWithId& token : tokens) {
    const bool normalized = token.token.normalized;
    Set& set = sets_[normalized];
    entries[normalized].emplace_back(
        normalized ? normalize_(token.token.content) : token.token.content,
        static_cast<int32_t>(set.tokens.size()));
    set.tokens.push_back(std::move(token));
  }
  for (size_t i = 0; i < sets_.size(); ++i) sets_[i].index = PieceIndex(std::move(entries[i]));
}

void SpecialTokenSplitter::split(std::string_view text,
                                 const std::function<void(std::string_view)>& on_text,
                                 const std::function<void(int32_t)>& on_token) const {
  split_by(
      sets_[0], text,
      [&](std::string_view part) {
        const std::string normalized = normalize_(part);
        split_by(sets_[1], normalized, on_text, on_token);
      },
      on_token);
}

void SpecialTokenSplitter::split_by(const Set& set, std::string_view text,
                                    const std::function<void(std::string_view)>& on_text,
                                    const std::function<void(int32_t)>& on_token) {
  const auto is_space = [](std::string_view character) {
    return is_whitespace(decode_utf8(character)[0]);
  };
  const auto first_of_character = [&](size_t i) {
    while (i > 0 && (static_cast<unsigned char>(text[i]) & 0xC0) == 0x80) --i;
    return i;
  };
  size_t done = 0;  // the text before is given out
  for (size_t at = 0; at < text.size();) {
    size_t length = 0;
    int32_t position = -1;  // the longest literal here
    set.index.for_prefixes(text.substr(at), [&](size_t n, int32_t p) { length = n, position = p; });
    if (position < 0) {
      ++at;
      continue;
    }
    const SpecialTokenWithId& token = set.tokens[static_cast<size_t>(position)];
    size_t begin = at;
    size_t end = at + length;
    if (token.token.lstrip) {
      while (begin > done) {
        const size_t before = first_of_character(begin - 1);
        if (!is_space(text.substr(before, begin - before))) break;
        begin = before;
      }
    }
    if (token.token.rstrip) {
      while (end < text.size()) {
        size_t after = end + 1;
        while (after < text.size() && (static_cast<unsigned char>(text[after]) & 0xC0) == 0x80)
          ++after;
        if (!is_space(text.substr(end, after - end))) break;
        end = after;
      }
    }
    if (done < begin) on_text(text.substr(done, begin - done));
    on_token(token.id);
    done = end;
    at = end;
  }
  if (done < text.size()) on_text(text.substr(done));
}

}  // namespace fluxq

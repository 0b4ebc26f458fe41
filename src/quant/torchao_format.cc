#include "quant/torchao_format.h"

#include <algorithm>
#include <set>

namespace fluxq {
namespace {

constexpr std::string_view kNames = "tensor_names";
constexpr std::string_view kPlainType = "Tensor";

// Settings that say how torchao multiplies, not what a weight or an activation means.
constexpr std::string_view kWithoutMeaning[] = {"mm_config", "kernel_preference", "dtype"};

Json with_meaning_only(Json data) {
  for (const std::string_view key : kWithoutMeaning) data.erase(std::string(key));
  if (data.contains("act_quant_kwargs") && data["act_quant_kwargs"].is_object()) {
    Json& inner = data["act_quant_kwargs"]["_data"];
    if (inner.is_object())
      for (const std::string_view key : kWithoutMeaning) inner.erase(std::string(key));
  }
  return data;
}

std::set<std::string> part_names(const Scheme& scheme, int64_t out, int64_t in) {
  std::set<std::string> names;
  for (const PartSpec& part : scheme.layout(out, in)) names.insert(part.name);
  return names;
}

// The first setting in which `got` differs from what a scheme writes, as `key: expected X, got Y`.
std::string difference(const Json& got, const Json& expected) {
  for (const auto& [key, value] : expected.items()) {
    const auto found = got.find(key);
    if (found == got.end()) return fmt::format("{} is missing", key);
    if (*found != value)
      return fmt::format("{}: expected {}, got {}", key, value.dump(), found->dump());
  }
  for (const auto& [key, value] : got.items())
    if (!expected.contains(key)) return fmt::format("unknown {}", key);
  return "";
}

struct Entry {
  std::string type;
  Json data;
  std::set<std::string> parts;
};

Entry parse_entry(std::string_view text, const std::string& where) {
  constexpr JsonLimits kLimits = {.depth = 8, .bytes = 1 << 16, .values = 1 << 10};
  const Json json = parse_json(text, where, kLimits);
  Entry entry;
  entry.type = require_string(json, "_type", where);
  if (entry.type == kPlainType) return entry;
  const Json* data = find_member(json, "_data", where);
  const Json* names = find_member(json, "_tensor_data_names", where);
  if (!data || !data->is_object() || !names || !names->is_array())
    fail(ErrorCode::corrupt_file, "{}: expected an object _data and an array _tensor_data_names",
         where);
  entry.data = *data;
  for (const Json& name : *names) {
    if (!name.is_string())
      fail(ErrorCode::corrupt_file, "{}: _tensor_data_names: expected strings, got {}", where,
           describe(name));
    entry.parts.insert(name.get<std::string>());
  }
  return entry;
}

}  // namespace

bool is_packed(const Scheme& scheme) { return scheme.stored_form(1, 1).type != kPlainType; }

std::string part_tensor_name(std::string_view layer, std::string_view part) {
  return fmt::format("{}._weight_{}", layer, part);
}

void StoredWeights::add_weight(std::string_view layer, const Scheme& scheme, int64_t out,
                               int64_t in, bool input_scale) {
  const std::string name = fmt::format("{}.weight", layer);
  const StoredForm form = scheme.stored_form(out, in);
  if (form.type == kPlainType) return add_plain(name);
  Json parts = Json::array();
  for (const PartSpec& part : scheme.layout(out, in)) parts.push_back(part.name);
  if (input_scale) parts.push_back(kInputScalePart);
  entries_[name] =
      Json{{"_type", form.type}, {"_data", form.data}, {"_tensor_data_names", parts}}.dump();
  names_.push_back(name);
  packed_ = true;
  all_torchao_ &= !form.config.is_null();
}

void StoredWeights::add_plain(std::string_view name) {
  entries_[std::string(name)] = Json{{"_type", kPlainType}}.dump();
  names_.emplace_back(name);
}

HeaderMetadata StoredWeights::metadata() const {
  if (!packed_) return {};
  HeaderMetadata metadata = entries_;
  metadata[std::string(kNames)] = Json(names_).dump();
  return metadata;
}

Json StoredWeights::quantization_config(const Scheme& main) const {
  if (!packed_) return nullptr;
  const Json config = main.stored_form(1, 1).config;
  if (!all_torchao_ || config.is_null())
    return {{"quant_method", "fluxq"}, {"scheme", main.info().name}};
  return {{"quant_method", "torchao"},
          {"quant_type", {{"default", config}}},
          {"modules_to_not_convert", nullptr}};
}

bool has_stored_weights(const HeaderMetadata& metadata) { return metadata.contains(kNames); }

StoredWeight find_stored_weight(const HeaderMetadata& metadata, std::string_view layer, int64_t out,
                                int64_t in, std::string_view where) {
  const auto found = metadata.find(fmt::format("{}.weight", layer));
  if (!has_stored_weights(metadata) || found == metadata.end()) return {};
  const std::string place = fmt::format("{}: header entry {}", where, found->first);
  Entry entry = parse_entry(found->second, place);
  if (entry.type == kPlainType) return {};
  StoredWeight stored;
  stored.input_scale = entry.parts.erase(std::string(kInputScalePart)) > 0;
  entry.data = with_meaning_only(entry.data);

  std::vector<std::string> misses;  // why schemes of this type are not it
  for (const Scheme* scheme : all_schemes()) {
    if (scheme->refuses(out, in)) continue;
    const StoredForm form = scheme->stored_form(out, in);
    if (form.type != entry.type) continue;
    std::string miss = difference(entry.data, with_meaning_only(form.data));
    if (miss.empty() && entry.parts != part_names(*scheme, out, in))
      miss = fmt::format("its parts are {}", fmt::join(entry.parts, ", "));
    if (miss.empty()) {
      stored.scheme = scheme;
      return stored;
    }
    misses.push_back(fmt::format("not {} ({})", scheme->info().name, miss));
  }
  fail(ErrorCode::unsupported,
       "{}: {} of shape [{}, {}]: expected a form of one of our schemes, {}", place, entry.type,
       out, in,
       misses.empty() ? "got none of theirs" : fmt::format("got {}", fmt::join(misses, "; ")));
}

}  // namespace fluxq

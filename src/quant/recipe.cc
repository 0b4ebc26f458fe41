#include "quant/recipe.h"

#include <algorithm>

#include "base/file.h"
#include "base/json.h"

namespace fluxq {
namespace {

// The scheme of excepted layers: plain weights in the main scheme's stream.
constexpr std::string_view kBaseline = "baseline";

// `*` stands for any run of characters, the empty one included.
bool matches(std::string_view pattern, std::string_view name) {
  size_t p = 0, n = 0, star = std::string_view::npos, resume = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = n;
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {  // let the last star take one character more
      p = star + 1;
      n = ++resume;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

RecipeRule read_rule(const Json& json, const std::string& where) {
  for (const auto& [key, value] : json.items()) {
    if (key != "pattern" && key != "scheme" && key != "reason")
      fail(ErrorCode::corrupt_file,
           "{}: expected \"pattern\", \"scheme\" and \"reason\", got \"{}\"", where, key);
  }
  RecipeRule rule{require_string(json, "pattern", where),
                  optional_string(json, "scheme", where, ""),
                  optional_string(json, "reason", where, "")};
  if (rule.pattern.empty()) fail(ErrorCode::corrupt_file, "{}: its pattern is empty", where);
  return rule;
}

}  // namespace

Recipe Recipe::standard(const Scheme& scheme) {
  Recipe recipe;
  recipe.name_ = "default";
  recipe.main_ = &scheme;
  const std::string baseline(kBaseline);
  recipe.rules_ = {
      {"*", baseline, "outside the transformer's blocks: little time, much harm to the picture"},
      {"transformer.transformer_blocks.*", "", ""},
      {"transformer.single_transformer_blocks.*", "", ""},
      {"transformer.transformer_blocks.*.norm1.linear", baseline,
       "modulation: one row per picture"},
      {"transformer.transformer_blocks.*.norm1_context.linear", baseline,
       "modulation: one row per picture"},
      {"transformer.single_transformer_blocks.*.norm.linear", baseline,
       "modulation: one row per picture"},
  };
  return recipe;
}

Recipe Recipe::stored(const Scheme& main, const std::map<std::string, const Scheme*>& layers) {
  Recipe recipe;
  recipe.name_ = "stored";
  recipe.main_ = &main;
  recipe.rules_.push_back({"*", std::string(kBaseline), "stored so"});
  for (const auto& [layer, scheme] : layers)
    recipe.rules_.push_back({layer, scheme == &main ? "" : scheme->info().name, "stored so"});
  return recipe;
}

Recipe Recipe::load(const std::filesystem::path& file, const Scheme& scheme) {
  constexpr uint64_t kMostBytes = 1 << 20;
  const std::string where = file.string();
  const Json json = parse_json(read_text_file(file, kMostBytes), where);
  Recipe recipe;
  recipe.name_ = require_string(json, "name", where);
  recipe.from_file_ = true;
  recipe.main_ = &scheme;
  const Json* rules = find_member(json, "rules", where);
  if (!rules || !rules->is_array() || rules->empty())
    fail(ErrorCode::corrupt_file, "{}: rules: expected an array of rules", where);
  for (size_t i = 0; i < rules->size(); ++i) {
    const std::string place = fmt::format("{}: rules[{}]", where, i);
    RecipeRule rule = read_rule((*rules)[i], place);
    if (!rule.scheme.empty() && rule.scheme != kBaseline) {
      const Scheme& named = find_scheme(rule.scheme);
      if (named.stream() != scheme.stream()) {
        fail(ErrorCode::bad_argument,
             "{}: scheme {} computes in {}, but the main scheme {} in {}: they cannot be mixed",
             place, rule.scheme, dtype_name(named.stream()), scheme.info().name,
             dtype_name(scheme.stream()));
      }
    }
    recipe.rules_.push_back(std::move(rule));
  }
  return recipe;
}

const Scheme& Recipe::baseline() const {
  return find_scheme(stream() == DType::f32 ? "f32" : "bf16");
}

Recipe::Choice Recipe::choose(std::string_view layer) const {
  for (auto rule = rules_.rbegin(); rule != rules_.rend(); ++rule) {
    if (!matches(rule->pattern, layer)) continue;
    if (rule->scheme.empty()) return {main_, ""};
    const Scheme& scheme = rule->scheme == kBaseline ? baseline() : find_scheme(rule->scheme);
    return {&scheme, &scheme == main_ ? "" : rule->reason};
  }
  return {&baseline(), &baseline() == main_ ? "" : "no rule of the recipe names it"};
}

void Recipe::check_used(std::span<const std::string> layers) const {
  if (!from_file_) return;
  for (const RecipeRule& rule : rules_) {
    const bool used = std::any_of(layers.begin(), layers.end(), [&](const std::string& layer) {
      return matches(rule.pattern, layer);
    });
    if (used) continue;
    fail(ErrorCode::bad_argument, "recipe {}: pattern \"{}\" matches none of {} layers.{}", name_,
         rule.pattern, layers.size(), did_you_mean(rule.pattern, layers));
  }
}

}  // namespace fluxq

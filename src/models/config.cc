#include "models/config.h"

#include <algorithm>
#include <array>

#include "base/file.h"
#include "base/text.h"

namespace fluxq {
namespace {

constexpr uint64_t kMaxConfigBytes = 1 << 20;

// Written by diffusers and transformers; none of them changes what an inference computes.
constexpr std::array<std::string_view, 12> kHarmlessKeys = {
    "_class_name", "_diffusers_version", "_name_or_path",        "architectures", "torch_dtype",
    "dtype",       "model_type",         "transformers_version", "use_cache",     "output_past",
    "n_positions", "quantization_config"};

}  // namespace

Json read_config_file(const std::filesystem::path& file) {
  Json config = parse_json(read_text_file(file, kMaxConfigBytes), file.string());
  if (!config.is_object())
    fail(ErrorCode::corrupt_file, "{}: expected an object, got {}", file.string(),
         describe(config));
  return config;
}

void require_value(const Json& config, std::string_view key, std::string_view where,
                   std::string_view expected) {
  const std::string value = optional_string(config, key, where, expected);
  if (value != expected) {
    fail(ErrorCode::unsupported, "{}: {}: expected \"{}\", the only one supported, got {}", where,
         key, expected, in_quotes(value));
  }
}

void require_flag(const Json& config, std::string_view key, std::string_view where, bool expected) {
  if (optional_bool(config, key, where, expected) != expected) {
    fail(ErrorCode::unsupported, "{}: {}: expected {}, the only one supported, got {}", where, key,
         expected, !expected);
  }
}

Act parse_act(std::string_view name, std::string_view key, std::string_view where) {
  struct Entry {
    std::string_view name;
    Act act;
  };
  // "gelu_new" computes the tanh form with pow(v, 3), "gelu_pytorch_tanh" the same by another path.
  static constexpr Entry kActs[] = {{"gelu", Act::gelu_erf},
                                    {"gelu_new", Act::gelu_tanh},
                                    {"gelu_pytorch_tanh", Act::gelu_tanh},
                                    {"quick_gelu", Act::quick_gelu},
                                    {"relu", Act::relu},
                                    {"silu", Act::silu},
                                    {"swish", Act::silu},
                                    {"linear", Act::none}};
  for (const Entry& entry : kActs)
    if (entry.name == name) return entry.act;
  std::vector<std::string_view> names;
  for (const Entry& entry : kActs) names.push_back(entry.name);
  fail(ErrorCode::unsupported, "{}: {}: expected one of {}, got {}", where, key,
       fmt::join(names, ", "), in_quotes(name));
}

void warn_unknown_keys(const Json& config, std::string_view where,
                       std::initializer_list<std::string_view> known, Progress& progress) {
  std::vector<std::string> unknown;
  for (const auto& [key, value] : config.items()) {
    const auto is_key = [&key = key](std::string_view name) { return name == key; };
    if (!std::ranges::any_of(known, is_key) && !std::ranges::any_of(kHarmlessKeys, is_key))
      unknown.push_back(in_quotes(key, 60));
  }
  if (unknown.empty()) return;
  constexpr size_t kShown = 8;
  const size_t shown = std::min(unknown.size(), kShown);
  progress.warn(
      fmt::format("{}: {} key{} not known and ignored: {}{}.", where, unknown.size(),
                  unknown.size() == 1 ? " is" : "s are",
                  fmt::join(unknown.begin(), unknown.begin() + static_cast<ptrdiff_t>(shown), ", "),
                  shown < unknown.size() ? ", …" : ""));
}

int64_t capped_product(int64_t a, int64_t b, int64_t limit, std::string_view what,
                       std::string_view where) {
  int64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product) || product > limit) {
    fail(ErrorCode::corrupt_file, "{}: {}: expected at most {}, got {} x {}", where, what, limit, a,
         b);
  }
  return product;
}

}  // namespace fluxq

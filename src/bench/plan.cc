#include "bench/plan.h"

#include <algorithm>
#include <charconv>
#include <numeric>

#include "base/file.h"
#include "base/json.h"
#include "base/shared_files.h"
#include "base/text.h"
#include "pipeline/attention_precision.h"
#include "quant/scheme.h"

namespace fluxq {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxBatch = 1024;
constexpr int kMaxSide = 1 << 14;
constexpr int64_t kMaxPixels = int64_t{1} << 26;
constexpr int kMaxSeeds = 10'000;
constexpr size_t kMaxPrompts = 10'000;
constexpr int kMaxRuns = 10'000;  // warm-ups and repeats
constexpr int kMaxTextTokens = 4096;
constexpr uint64_t kMaxFileBytes = 16 << 20;

template <typename T>
void check_range(std::string_view what, T value, T min, T max) {
  if (!(value >= min && value <= max))
    fail(ErrorCode::bad_argument, "{}: expected {} to {}, got {}", what, min, max, value);
}

template <typename T>
void check_some(std::string_view what, const std::vector<T>& list, size_t max) {
  if (list.empty())
    fail(ErrorCode::bad_argument, "the plan has no cells: expected at least one of {}, got none",
         what);
  if (list.size() > max)
    fail(ErrorCode::bad_argument, "{}: expected at most {}, got {}", what, max, list.size());
}

/// In the order of first appearance.
template <typename T>
std::vector<T> distinct(const std::vector<T>& list) {
  std::vector<T> out;
  for (const T& value : list)
    if (std::find(out.begin(), out.end(), value) == out.end()) out.push_back(value);
  return out;
}

std::vector<std::string> resolve_schemes(const std::vector<std::string>& wanted, Device device) {
  std::vector<std::string> schemes = {std::string(kBaseline)};
  for (const std::string& name : wanted) {
    if (name == "all") {
      for (const Scheme* scheme : all_schemes()) {
        const std::string& known = scheme->info().name;
        if (known != kExact && scheme->runs_on(device)) schemes.push_back(known);
      }
      continue;
    }
    const Scheme& scheme = find_scheme(name);
    if (!scheme.runs_on(device)) fail_no_kernels(scheme, device);
    schemes.push_back(name);
  }
  return distinct(schemes);
}

void check_sizes(const std::vector<std::pair<int, int>>& sizes, int step) {
  for (const auto& [width, height] : sizes) {
    for (int side : {width, height}) {
      if (side < step || side % step != 0 || side > kMaxSide)
        fail(ErrorCode::bad_argument,
             "sizes: expected sides that are multiples of {}, at most {}, got {} x {}", step,
             kMaxSide, width, height);
    }
    if (int64_t{width} * height > kMaxPixels)
      fail(ErrorCode::bad_argument, "sizes: expected at most {} pixels, got {} x {}", kMaxPixels,
           width, height);
  }
}

void check_prompts(const std::vector<std::string>& prompts) {
  for (size_t i = 0; i < prompts.size(); ++i) {
    if (!is_utf8(prompts[i]) || prompts[i].find('\0') != std::string::npos)
      fail(ErrorCode::bad_argument, "prompt {}: expected UTF-8 without NUL, got {}", i + 1,
           in_quotes(prompts[i]));
  }
}

bool is_reference(std::string_view scheme) { return scheme == kBaseline || scheme == kExact; }

// ---- plan files

const Json* member(const Json& plan, std::string_view key, std::string_view where) {
  const Json* found = find_member(plan, key, where);
  return found && !found->is_null() ? found : nullptr;
}

std::optional<int> read_int(const Json& plan, std::string_view key, std::string_view where) {
  if (!member(plan, key, where)) return std::nullopt;
  return static_cast<int>(require_int(plan, key, where, 0, 1 << 30));
}

[[noreturn]] void fail_member(std::string_view key, std::string_view where,
                              std::string_view expected, const Json& got) {
  fail(ErrorCode::corrupt_file, "{}: {}: expected {}, got {}", where, key, expected, describe(got));
}

std::vector<std::string> read_texts(const Json& list, std::string_view key,
                                    std::string_view where) {
  if (!list.is_array()) fail_member(key, where, "a list of texts", list);
  std::vector<std::string> texts;
  for (const Json& text : list) {
    if (!text.is_string()) fail_member(key, where, "a text", text);
    texts.push_back(text.get<std::string>());
  }
  return texts;
}

std::vector<std::pair<int, int>> read_sizes(const Json& list, std::string_view where) {
  constexpr std::string_view kExpected = "sizes as 1024, \"1024x768\" or [1024, 768]";
  const auto side = [&](const Json& value) {
    if (!value.is_number_unsigned() || value.get<uint64_t>() > kMaxSide)
      fail_member("sizes", where, kExpected, value);
    return value.get<int>();
  };
  if (!list.is_array()) fail_member("sizes", where, "a list", list);
  std::vector<std::pair<int, int>> sizes;
  for (const Json& size : list) {
    if (size.is_string()) {
      sizes.push_back(parse_size(size.get<std::string>()));
    } else if (size.is_array() && size.size() == 2) {
      sizes.emplace_back(side(size[0]), side(size[1]));
    } else {
      sizes.emplace_back(side(size), side(size));
    }
  }
  return sizes;
}

std::vector<uint64_t> read_seeds(const Json& seeds, std::string_view where) {
  if (seeds.is_number_unsigned() && seeds.get<uint64_t>() <= kMaxSeeds)
    return first_seeds(seeds.get<int>());
  if (!seeds.is_array()) fail_member("seeds", where, "a list of seeds, or how many", seeds);
  std::vector<uint64_t> values;
  for (const Json& seed : seeds) {
    if (!seed.is_number_unsigned()) fail_member("seeds", where, "a seed", seed);
    values.push_back(seed.get<uint64_t>());
  }
  return values;
}

}  // namespace

void PlanRequest::fill_from(const PlanRequest& other) {
  const auto fill = [](auto& mine, const auto& theirs) {
    if (!mine) mine = theirs;
  };
  fill(model, other.model);
  fill(schemes, other.schemes);
  fill(batches, other.batches);
  fill(sizes, other.sizes);
  fill(steps, other.steps);
  fill(guidance, other.guidance);
  fill(max_text_tokens, other.max_text_tokens);
  fill(prompts, other.prompts);
  fill(seeds, other.seeds);
  fill(warmups, other.warmups);
  fill(repeats, other.repeats);
  fill(recipe, other.recipe);
  fill(attention, other.attention);
}

PlanRequest to_request(const Plan& plan) {
  return {.model = plan.model,
          .schemes = plan.schemes,
          .batches = plan.batches,
          .sizes = plan.sizes,
          .steps = plan.steps,
          .guidance = plan.guidance,
          .max_text_tokens = plan.max_text_tokens,
          .prompts = plan.prompts,
          .seeds = plan.seeds,
          .warmups = plan.warmups,
          .repeats = plan.repeats,
          .recipe = plan.recipe,
          .attention = plan.attention};
}

PlanRequest read_plan_file(const fs::path& file) {
  const std::string where = file.string();
  const Json plan = parse_json(read_text_file(file, kMaxFileBytes), where);
  const std::vector<std::string> known = {
      "model",   "schemes", "batches", "sizes",   "steps",  "guidance", "max_text_tokens",
      "prompts", "seeds",   "warmups", "repeats", "recipe", "attention"};
  if (!plan.is_object())
    fail(ErrorCode::corrupt_file, "{}: expected an object, got {}", where, describe(plan));
  for (const auto& [key, value] : plan.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end())
      fail(ErrorCode::corrupt_file, "{}: expected only {}, got {}.{}", where,
           fmt::join(known, ", "), in_quotes(key), did_you_mean(key, known));
  }
  PlanRequest request;
  if (member(plan, "model", where)) request.model = require_string(plan, "model", where);
  if (const Json* schemes = member(plan, "schemes", where)) {
    request.schemes = schemes->is_string() ? std::vector{schemes->get<std::string>()}
                                           : read_texts(*schemes, "schemes", where);
  }
  if (member(plan, "batches", where)) {
    request.batches.emplace();
    for (int64_t batch : require_ints(plan, "batches", where, 1, kMaxBatch))
      request.batches->push_back(static_cast<int>(batch));
  }
  if (const Json* sizes = member(plan, "sizes", where)) request.sizes = read_sizes(*sizes, where);
  request.steps = read_int(plan, "steps", where);
  if (member(plan, "guidance", where)) request.guidance = require_number(plan, "guidance", where);
  request.max_text_tokens = read_int(plan, "max_text_tokens", where);
  if (const Json* prompts = member(plan, "prompts", where)) {
    request.prompts = prompts->is_string()
                          ? read_prompt_file(file.parent_path() / prompts->get<std::string>())
                          : read_texts(*prompts, "prompts", where);
  }
  if (const Json* seeds = member(plan, "seeds", where)) request.seeds = read_seeds(*seeds, where);
  request.warmups = read_int(plan, "warmups", where);
  request.repeats = read_int(plan, "repeats", where);
  if (member(plan, "recipe", where)) {
    const std::string recipe = require_string(plan, "recipe", where);
    request.recipe = recipe.empty() ? "" : (file.parent_path() / recipe).string();
  }
  if (member(plan, "attention", where))
    request.attention = require_string(plan, "attention", where);
  return request;
}

std::vector<std::string> read_prompt_file(const fs::path& file) {
  const std::string text = read_text_file(file, kMaxFileBytes);
  std::vector<std::string> prompts;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.find_first_not_of(" \t") != std::string::npos) prompts.push_back(std::move(line));
    begin = end + 1;
  }
  if (prompts.empty())
    fail(ErrorCode::bad_argument, "{}: expected a prompt per line, found none", file.string());
  check_prompts(prompts);
  return prompts;
}

fs::path default_prompt_file() {
  std::error_code error;
  std::string tried;
  for (const fs::path& folder : shared_folders()) {
    const fs::path file = folder / "prompts/bench.txt";
    if (fs::exists(file, error)) return file;
    tried += (tried.empty() ? "" : ", ") + file.string();
  }
  fail(ErrorCode::not_found,
       "the default prompts were not found; looked for {}. Name a file with --prompts", tried);
}

std::pair<int, int> parse_size(std::string_view text) {
  const auto side = [&](std::string_view digits) {
    int value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size() || value <= 0)
      fail(ErrorCode::bad_argument, "sizes: expected 1024 or 1024x768, got {}", in_quotes(text));
    return value;
  };
  const size_t cross = text.find('x');
  if (cross == std::string_view::npos) return {side(text), side(text)};
  return {side(text.substr(0, cross)), side(text.substr(cross + 1))};
}

std::vector<uint64_t> first_seeds(int count) {
  std::vector<uint64_t> seeds(static_cast<size_t>(std::max(count, 0)));
  std::iota(seeds.begin(), seeds.end(), uint64_t{0});
  return seeds;
}

Plan resolve_plan(const PlanRequest& request, const ModelFolder& model, Device device) {
  const GenerationDefaults& defaults = model.defaults;
  const std::vector<int> batches =
      device == Device::cpu ? std::vector{1, 4} : std::vector{1, 4, 8, 16};
  Plan plan{.model = request.model.value_or(model.path.string()),
            .schemes = request.schemes.value_or(std::vector<std::string>{"all"}),
            .batches = request.batches.value_or(batches),
            .sizes = distinct(request.sizes.value_or(
                std::vector<std::pair<int, int>>{{defaults.width, defaults.height}})),
            .steps = request.steps.value_or(defaults.steps),
            .guidance = request.guidance.value_or(defaults.guidance),
            .max_text_tokens = request.max_text_tokens.value_or(defaults.max_text_tokens),
            .prompts = request.prompts ? *request.prompts : read_prompt_file(default_prompt_file()),
            .seeds = distinct(request.seeds.value_or(first_seeds(1))),
            .warmups = request.warmups.value_or(1),
            .repeats = request.repeats.value_or(5),
            .recipe = request.recipe.value_or(""),
            .attention = request.attention.value_or("bf16")};
  check_some("schemes", plan.schemes, 64);
  check_some("batches", plan.batches, 64);
  check_some("sizes", plan.sizes, 64);
  check_some("prompts", plan.prompts, kMaxPrompts);
  check_some("seeds", plan.seeds, kMaxSeeds);
  plan.schemes = resolve_schemes(plan.schemes, device);
  std::sort(plan.batches.begin(), plan.batches.end());
  plan.batches = distinct(plan.batches);
  check_range("batches", plan.batches.front(), 1, kMaxBatch);
  check_range("batches", plan.batches.back(), 1, kMaxBatch);
  check_sizes(plan.sizes, model.size_step());
  check_range("steps", plan.steps, 1, static_cast<int>(kMaxSteps));
  check_range("guidance", plan.guidance, -1000.0, 1000.0);
  check_range("max_text_tokens", plan.max_text_tokens, 1, kMaxTextTokens);
  check_range("warmups", plan.warmups, 0, kMaxRuns);
  check_range("repeats", plan.repeats, 1, kMaxRuns);
  check_prompts(plan.prompts);
  // The schemes that quantize stream bf16.
  plan.attention = attention_that_runs(plan.attention, device, DType::bf16, model.flux.head_dim);
  for (const std::string& scheme : plan.schemes) recipe_of(plan, find_scheme(scheme));
  return plan;
}

std::string recipe_file_of(const Plan& plan, std::string_view scheme) {
  return is_reference(scheme) ? "" : plan.recipe;
}

Recipe recipe_of(const Plan& plan, const Scheme& scheme) {
  const std::string file = recipe_file_of(plan, scheme.info().name);
  return file.empty() ? Recipe::standard(scheme) : Recipe::load(file, scheme);
}

std::string attention_of(const Plan& plan, std::string_view scheme) {
  return is_reference(scheme) ? "bf16" : plan.attention;
}

uint64_t other_seed(const Plan& plan) {
  uint64_t seed = *std::max_element(plan.seeds.begin(), plan.seeds.end()) + 1;
  while (std::find(plan.seeds.begin(), plan.seeds.end(), seed) != plan.seeds.end()) ++seed;
  return seed;
}

}  // namespace fluxq

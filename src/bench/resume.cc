#include "bench/resume.h"

#include <fmt/format.h>

#include <set>

#include "bench/environment.h"
#include "bench/results_json.h"

namespace fluxq {
namespace {

/// Members of the environment that say who measured what; the others are measured or counted.
constexpr std::string_view kEnvironment[] = {
    "fluxq_version", "binary_sha256", "build",       "model_name", "weights_sha256",
    "variant",       "device",        "device_name", "driver",     "cuda",
    "kernel",        "isa",           "threads"};
/// What makes a picture another picture.
constexpr std::string_view kDrawn[] = {"weights_sha256",  "variant", "steps",    "guidance",
                                       "max_text_tokens", "recipe",  "attention"};

std::string shown(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

}  // namespace

std::vector<AcceptedChange> changes_since(const Results& stored, const Environment& environment,
                                          const Plan& plan) {
  std::vector<AcceptedChange> changes;
  const std::string time = utc_now();
  const Json old_environment = to_json(stored.environment), new_environment = to_json(environment);
  for (const std::string_view key : kEnvironment) {
    const Json &before = old_environment[std::string(key)],
               &after = new_environment[std::string(key)];
    if (before != after) changes.push_back({std::string(key), shown(before), shown(after), time});
  }
  const Json old_plan = to_json(stored.plan), new_plan = to_json(plan);
  for (const auto& [key, after] : new_plan.items()) {
    // The weights say what the model is, wherever it lies.
    if (key == "model" || after == old_plan[key]) continue;
    if (key == "prompts") {
      size_t different = 0;
      for (size_t i = 0; i < std::min(after.size(), old_plan[key].size()); ++i)
        different += after[i] != old_plan[key][i];
      changes.push_back(
          {key, fmt::format("{} prompts", old_plan[key].size()),
           fmt::format("{} prompts, of the first ones {} others", after.size(), different), time});
      continue;
    }
    changes.push_back({key, shown(old_plan[key]), shown(after), time});
  }
  return changes;
}

std::string describe(const std::vector<AcceptedChange>& changes) {
  std::string text;
  for (const AcceptedChange& change : changes) {
    text += fmt::format("{}{}: {} became {}", text.empty() ? "" : "; ", change.what, change.before,
                        change.after);
  }
  return text;
}

void accept_changes(Store& store, const Results& stored, const std::vector<AcceptedChange>& changes,
                    const Environment& environment, const Plan& plan, NoiseFloor noise_floor) {
  const std::set<std::string_view> drawn(std::begin(kDrawn), std::end(kDrawn));
  bool all_differs = false;
  for (const AcceptedChange& change : changes) all_differs |= drawn.contains(change.what);
  if (all_differs) {
    store.forget_measurements();
  } else {
    for (size_t i = 0; i < stored.plan.prompts.size(); ++i)
      if (i >= plan.prompts.size() || plan.prompts[i] != stored.plan.prompts[i])
        store.forget_pictures(static_cast<int>(i));
  }
  store.accept(changes, environment, plan, noise_floor);
}

}  // namespace fluxq

/// The checklist of `fluxq doctor`: facts in, judgements out.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "doctor/facts.h"

namespace fluxq {

enum class Health { ok, warning, problem };

std::string_view to_string(Health health);

/// One line of the checklist.
struct Check {
  std::string name;  ///< "GPU memory"
  Health health = Health::ok;
  std::string text;               ///< what was found
  std::string advice = {};        ///< what to do about it; empty if all is well
  Json details = Json::object();  ///< the figures, for programs
};

struct Diagnosis {
  std::vector<Check> checks;
  std::vector<std::string> works;  ///< what can be done on this machine, in sentences
  Health health() const;           ///< the worst
};

Diagnosis diagnose(const MachineFacts& facts);

/// {"health", "checks": [{"name", "health", "text", "advice", "details"}], "works"}.
Json to_json(const Diagnosis& diagnosis);

// The groups that diagnose() puts together.

std::vector<Check> check_host(const MachineFacts& facts);
std::vector<Check> check_gpu(const MachineFacts& facts);
std::vector<Check> check_hub(const MachineFacts& facts);

/// The schemes whose need fits into `bytes`, on the CPU or on a GPU: "bf16, int8dq, and f32 with
/// --low-memory"; empty if there is none.
std::string fitting_schemes(const ModelFacts& model, int64_t bytes, bool on_gpu);

/// What a GPU's own administration and the kernels' workspaces take besides a scheme's need.
inline constexpr int64_t kGpuReserveBytes = 1'000'000'000;

/// "33.9 GB".
std::string gigabytes(double bytes);

}  // namespace fluxq

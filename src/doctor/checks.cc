#include "doctor/checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "kernels/usable_gpu.h"

namespace fluxq {
namespace {

constexpr std::array<std::string_view, 3> kHealthNames = {"ok", "warning", "problem"};

std::vector<std::string> list_of_works(const MachineFacts& facts) {
  std::vector<std::string> works;
  works.emplace_back("the bundled model on the CPU: fluxq generate \"red apple\", make demo");
  const std::string on_cpu = fitting_schemes(facts.model, facts.host.free_bytes, false);
  if (!on_cpu.empty())
    works.push_back(fmt::format("{} on the CPU, slowly, with {}", facts.model.name, on_cpu));
  for (const GpuFacts& gpu : facts.driver.gpus) {
    const std::string schemes =
        fitting_schemes(facts.model, gpu.device.memory_bytes - kGpuReserveBytes, true);
    if (facts.build.has_cuda() && runs_built_kernels(gpu.device) && !schemes.empty())
      works.push_back(fmt::format("{} on {} with {}", facts.model.name, gpu.device.name, schemes));
  }
  works.emplace_back("quantize, inspect, coverage, report, compare, fetch and cache need no GPU");
  return works;
}

}  // namespace

std::string_view to_string(Health health) { return kHealthNames[static_cast<size_t>(health)]; }

Health Diagnosis::health() const {
  Health worst = Health::ok;
  for (const Check& check : checks) worst = std::max(worst, check.health);
  return worst;
}

Diagnosis diagnose(const MachineFacts& facts) {
  Diagnosis diagnosis;
  for (const auto& group : {check_host, check_gpu, check_hub}) {
    std::vector<Check> checks = group(facts);
    std::move(checks.begin(), checks.end(), std::back_inserter(diagnosis.checks));
  }
  diagnosis.works = list_of_works(facts);
  return diagnosis;
}

Json to_json(const Diagnosis& diagnosis) {
  Json checks = Json::array();
  for (const Check& check : diagnosis.checks)
    checks.push_back({{"name", check.name},
                      {"health", to_string(check.health)},
                      {"text", check.text},
                      {"advice", check.advice},
                      {"details", check.details}});
  return {{"health", to_string(diagnosis.health())},
          {"checks", std::move(checks)},
          {"works", diagnosis.works}};
}

std::string fitting_schemes(const ModelFacts& model, int64_t bytes, bool on_gpu) {
  std::vector<std::string> always, by_phase;
  for (const SchemeNeed& need : model.needs) {
    if (on_gpu && need.host_only) continue;
    if (need.on(on_gpu).bytes <= bytes)
      always.push_back(need.scheme);
    else if (need.on(on_gpu).low_bytes <= bytes)
      by_phase.push_back(need.scheme);
  }
  std::string text = fmt::format("{}", fmt::join(always, ", "));
  if (!by_phase.empty())
    text += fmt::format("{}{} with --low-memory", text.empty() ? "" : ", and ",
                        fmt::join(by_phase, ", "));
  return text;
}

std::string gigabytes(double bytes) { return fmt::format("{:.1f} GB", bytes / 1e9); }

}  // namespace fluxq

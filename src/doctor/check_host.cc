/// Program, processor, memory and disks.
#include <fmt/format.h>

#include <algorithm>

#include "doctor/checks.h"

namespace fluxq {
namespace {

/// The bundled model with its pictures, and what the program itself takes.
constexpr int64_t kBundledModelBytes = 600'000'000;
/// Reports, pictures and results of a run.
constexpr uint64_t kRunBytes = 1'000'000'000;

Check check_program(const BuildFacts& build) {
  return {.name = "program",
          .text = fmt::format(
              "fluxq {}, {}, {}", build.version, build.compiler,
              build.has_cuda() ? "CUDA kernels for " + build.architectures : "without CUDA"),
          .details = {{"version", build.version},
                      {"build", build.compiler},
                      {"cuda", build.has_cuda()},
                      {"architectures", build.architectures}}};
}

Check check_processor(const HostFacts& host) {
  const auto has = [&](std::string_view feature) {
    return std::find(host.features.begin(), host.features.end(), feature) != host.features.end();
  };
  Check check{.name = "processor",
              .text = fmt::format(
                  "{}, {} {}; {}", host.processor.empty() ? "unknown" : host.processor, host.cores,
                  host.cores == 1 ? "core" : "cores", fmt::join(host.kernels, ", ")),
              .details = {{"name", host.processor},
                          {"cores", host.cores},
                          {"features", host.features},
                          {"kernels", host.kernels}}};
  if (!has("avx2") || !has("fma")) {
    check.health = Health::warning;
    check.text += "; no AVX2";
    check.advice = "pictures come out right, but slowly: take a processor of 2015 or later";
  } else if (!has("avx512_bf16")) {
    check.text += "; no bf16 products, so bf16 weights take twice their size";
  }
  return check;
}

Check check_memory(const HostFacts& host, const ModelFacts& model) {
  const std::string schemes = fitting_schemes(model, host.free_bytes, false);
  Check check{.name = "memory",
              .text = fmt::format("{} free of {}", gigabytes(static_cast<double>(host.free_bytes)),
                                  gigabytes(static_cast<double>(host.memory_bytes))),
              .details = {{"free_bytes", host.free_bytes}, {"bytes", host.memory_bytes}}};
  Json needs = Json::object(), low_needs = Json::object();
  for (const SchemeNeed& need : model.needs) {
    needs[need.scheme] = need.cpu.bytes;
    low_needs[need.scheme] = need.cpu.low_bytes;
  }
  check.details["model_needs_bytes"] = std::move(needs);
  check.details["model_needs_low_memory_bytes"] = std::move(low_needs);
  if (host.free_bytes < kBundledModelBytes) {
    check.health = Health::problem;
    check.advice = fmt::format("the bundled model alone takes {}: free some memory",
                               gigabytes(static_cast<double>(kBundledModelBytes)));
  } else if (schemes.empty()) {
    const auto least = std::min_element(
        model.needs.begin(), model.needs.end(),
        [](const SchemeNeed& a, const SchemeNeed& b) { return a.cpu.low_bytes < b.cpu.low_bytes; });
    check.health = Health::warning;
    check.text += fmt::format(": too little for {} on the CPU", model.name);
    if (least != model.needs.end())
      check.advice =
          fmt::format("it needs {} with {} and --low-memory; the bundled model works",
                      gigabytes(static_cast<double>(least->cpu.low_bytes)), least->scheme);
  } else {
    check.text += fmt::format("; {} fits on the CPU with {}", model.name, schemes);
  }
  return check;
}

Check check_disk(std::string name, const DiskFacts& disk, uint64_t needed,
                 const std::string& purpose) {
  Check check{.name = std::move(name),
              .text = {},
              .details = {{"path", disk.path}, {"needed_bytes", needed}}};
  if (!disk.free_bytes) {
    check.health = Health::warning;
    check.text = fmt::format("the free space at {} is not known", disk.path);
    check.advice = "see that the folder can be read";
    return check;
  }
  check.details["free_bytes"] = *disk.free_bytes;
  check.text =
      fmt::format("{} free at {}", gigabytes(static_cast<double>(*disk.free_bytes)), disk.path);
  if (*disk.free_bytes < needed) {
    check.health = Health::warning;
    check.advice = fmt::format(
        "{} takes {}: fluxq cache list says what is there, and cache clean "
        "makes room; HF_HOME puts the cache elsewhere",
        purpose, gigabytes(static_cast<double>(needed)));
  } else if (needed > 0) {
    check.text +=
        fmt::format(", enough for {} ({})", purpose, gigabytes(static_cast<double>(needed)));
  }
  return check;
}

}  // namespace

std::vector<Check> check_host(const MachineFacts& facts) {
  const uint64_t download = facts.model.is_here() ? 0 : facts.model.download_bytes;
  return {check_program(facts.build), check_processor(facts.host),
          check_memory(facts.host, facts.model),
          check_disk("disk for models", facts.models_disk, download, facts.model.name),
          check_disk("disk for runs", facts.work_disk, kRunBytes, "a benchmark run")};
}

}  // namespace fluxq

/// Driver, GPUs and CUDA libraries. In a build with CUDA what keeps a GPU from being used is a
/// problem; in one without it is a warning, since nothing would use the GPU anyway.
#include <fmt/format.h>

#include "doctor/checks.h"
#include "kernels/usable_gpu.h"

namespace fluxq {
namespace {

// What the test plan asks for.
constexpr int kPlannedCuda = 12020;
constexpr int64_t kPlannedGpuBytes = 16'000'000'000;

/// CUDA's own code for a GPU of 8.9 has fp8 products; ours is for 9.0.
bool has_fp8(const CudaDevice& device) { return 10 * device.major + device.minor >= 89; }

/// How bad it is that a GPU cannot be used.
Health severity(const BuildFacts& build) {
  return build.has_cuda() ? Health::problem : Health::warning;
}

Check check_driver(const MachineFacts& facts) {
  const DriverFacts& driver = facts.driver;
  Check check{.name = "GPU driver",
              .text = {},
              .details = {{"found", driver.found},
                          {"version", driver.driver_version},
                          {"cuda", driver.cuda_version},
                          {"needed_cuda", kBuiltCuda}}};
  if (!driver.found) {
    check.health = Health::warning;
    check.text = "none: this machine has no NVIDIA driver (libcuda.so.1)";
    check.advice =
        "all commands work on the CPU; for a GPU install the NVIDIA driver, and in a "
        "container start it with the NVIDIA runtime";
    return check;
  }
  check.text = fmt::format("{}supports CUDA {}",
                           driver.driver_version.empty() ? "" : driver.driver_version + ", ",
                           cuda_version_text(driver.cuda_version));
  if (driver.cuda_version < kBuiltCuda) {
    check.health = severity(facts.build);
    check.text += fmt::format(", expected {} or newer", cuda_version_text(kBuiltCuda));
    check.advice = fmt::format("install driver {} or newer", kDriverForBuiltCuda);
    if (driver.cuda_version < kPlannedCuda)
      check.advice += fmt::format(" (even CUDA {}, which the test plan asks for, is newer)",
                                  cuda_version_text(kPlannedCuda));
  }
  return check;
}

Check check_devices(const MachineFacts& facts) {
  const DriverFacts& driver = facts.driver;
  Check check{.name = "GPU", .text = {}, .details = {{"gpus", Json::array()}}};
  for (const GpuFacts& gpu : driver.gpus) {
    check.text += fmt::format("{}{}", check.text.empty() ? "" : "; ", gpu.device.name);
    check.details["gpus"].push_back({{"name", gpu.device.name},
                                     {"pci_bus_id", gpu.device.pci_bus_id},
                                     {"multiprocessors", gpu.device.multiprocessors}});
  }
  if (driver.gpus.empty()) {
    check.health = driver.machine_gpus > 0 ? severity(facts.build) : Health::warning;
    check.text =
        driver.machine_gpus > 0
            ? fmt::format("the machine has {}, but CUDA may use none{}", driver.machine_gpus,
                          driver.trouble.empty() ? "" : " (" + driver.trouble + ")")
            : fmt::format("none{}", driver.trouble.empty() ? "" : " (" + driver.trouble + ")");
    check.advice = driver.machine_gpus > 0
                       ? fmt::format("set CUDA_VISIBLE_DEVICES to a GPU's number; now it is \"{}\"",
                                     driver.visible_devices)
                       : "what works without one stands below";
  } else if (!facts.build.has_cuda()) {
    check.health = Health::warning;
    check.text += ": unused, because this fluxq was built without CUDA";
    check.advice = "build it with CUDA 13: cmake --preset cuda && cmake --build --preset cuda";
  }
  return check;
}

Check check_capability(const MachineFacts& facts, const CudaDevice& device) {
  Check check{.name = "compute capability",
              .text = fmt::format("{}.{} ({})", device.major, device.minor, device.name),
              .details = {{"major", device.major}, {"minor", device.minor}}};
  if (runs_built_kernels(device)) return check;
  check.health = severity(facts.build);
  check.text += fmt::format(": fluxq's kernels are for 9.0{}",
                            has_fp8(device) ? "" : ", and fp8 needs 8.9 or newer in any case");
  check.advice = "take a GPU of the Hopper family (H100, H200, GH200)";
  return check;
}

Check check_gpu_memory(const MachineFacts& facts, const CudaDevice& device) {
  const int64_t usable_bytes = device.memory_bytes - kGpuReserveBytes;
  const std::string schemes = fitting_schemes(facts.model, usable_bytes, true);
  Check check{.name = "GPU memory",
              .text = gigabytes(static_cast<double>(device.memory_bytes)),
              .details = {{"bytes", device.memory_bytes}}};
  std::string too_large;
  for (const SchemeNeed& need : facts.model.needs)
    if (!need.host_only && need.gpu.low_bytes > usable_bytes)
      too_large +=
          fmt::format("{}{} ({})", too_large.empty() ? "" : ", ", need.scheme,
                      gigabytes(static_cast<double>(need.gpu.low_bytes + kGpuReserveBytes)));
  if (!schemes.empty()) check.text += fmt::format(": {} fits with {}", facts.model.name, schemes);
  if (!too_large.empty()) check.text += fmt::format("; it does not fit with {}", too_large);
  if (schemes.empty() || device.memory_bytes < kPlannedGpuBytes) {
    check.health = schemes.empty() ? severity(facts.build) : Health::warning;
    check.advice = "take a GPU with more memory; the bundled model fits everywhere";
  } else if (!too_large.empty()) {
    check.health = Health::warning;
    check.advice = "use one of the schemes that fit, or a GPU with more memory";
  }
  return check;
}

Json to_json(const GpuState& state) {
  Json json = Json::object();
  const auto put = [&](const char* name, const auto& value) {
    if (value) json[name] = *value;
  };
  put("clock_mhz", state.clock_mhz);
  put("max_clock_mhz", state.max_clock_mhz);
  put("memory_clock_mhz", state.memory_clock_mhz);
  put("temperature_c", state.temperature_c);
  put("power_w", state.power_w);
  put("power_limit_w", state.power_limit_w);
  put("free_bytes", state.free_bytes);
  put("other_processes", state.other_processes);
  put("ecc_errors", state.ecc_errors);
  put("is_partitioned", state.is_partitioned);
  json["slowdowns"] = state.slowdowns;
  return json;
}

Check check_state(const GpuFacts& gpu) {
  Check check{.name = "GPU state", .text = {}};
  if (!gpu.state) {
    check.health = Health::warning;
    check.text = "clocks, temperature and other users are not known: no NVML (libnvidia-ml.so.1)";
    check.advice = "install the driver's NVML, so that measurements say what disturbed them";
    return check;
  }
  const GpuState& state = *gpu.state;
  check.details = to_json(state);
  const auto add = [](std::string& text, const std::string& part) {
    text += (text.empty() ? "" : ", ") + part;
  };
  if (state.clock_mhz)
    add(check.text,
        fmt::format("{}{} MHz", *state.clock_mhz,
                    state.max_clock_mhz ? fmt::format(" of {}", *state.max_clock_mhz) : ""));
  if (state.temperature_c) add(check.text, fmt::format("{:.0f} C", *state.temperature_c));
  if (state.power_w)
    add(check.text,
        fmt::format("{:.0f}{} W", *state.power_w,
                    state.power_limit_w ? fmt::format(" of {:.0f}", *state.power_limit_w) : ""));
  if (state.free_bytes)
    add(check.text, fmt::format("{} free", gigabytes(static_cast<double>(*state.free_bytes))));
  if (state.other_processes)
    add(check.text, fmt::format("{} other {}", *state.other_processes,
                                *state.other_processes == 1 ? "process" : "processes"));
  if (state.other_processes.value_or(0) > 0)
    add(check.advice, "end the other processes before measuring");
  if (!state.slowdowns.empty()) {
    add(check.text, fmt::format("held down by {}", fmt::join(state.slowdowns, " and ")));
    add(check.advice, "see to cooling and power before measuring");
  }
  if (state.ecc_errors.value_or(0) > 0) {
    add(check.text, fmt::format("{} uncorrected memory errors", *state.ecc_errors));
    add(check.advice, "have the GPU reset or replaced: its results may be wrong");
  }
  if (state.is_partitioned.value_or(false)) {
    add(check.text, "split up by MIG");
    add(check.advice, "figures of a slice are not those of the whole GPU");
  }
  if (!check.advice.empty()) check.health = Health::warning;
  return check;
}

Check check_libraries(const MachineFacts& facts) {
  Check check{.name = "CUDA libraries", .text = {}, .details = {{"libraries", Json::array()}}};
  std::vector<std::string> missing;
  for (const LibraryFacts& library : facts.driver.libraries) {
    check.details["libraries"].push_back({{"name", library.name},
                                          {"version", library.version},
                                          {"path", library.path},
                                          {"trouble", library.trouble}});
    if (library.version.empty())
      missing.push_back(library.name);
    else
      check.text +=
          fmt::format("{}{} {}", check.text.empty() ? "" : ", ", library.name, library.version);
  }
  if (missing.empty()) return check;
  check.text +=
      fmt::format("{}not found: {}", check.text.empty() ? "" : "; ", fmt::join(missing, ", "));
  if (!facts.build.has_cuda()) {
    check.text += " (this build does not use them)";
    return check;
  }
  check.health = Health::problem;
  check.advice =
      "install CUDA 13's runtime libraries and cuDNN 9, or name their folder in LD_LIBRARY_PATH";
  return check;
}

}  // namespace

std::vector<Check> check_gpu(const MachineFacts& facts) {
  std::vector<Check> checks = {check_driver(facts)};
  if (facts.driver.found) checks.push_back(check_devices(facts));
  for (const GpuFacts& gpu : facts.driver.gpus) {
    checks.push_back(check_capability(facts, gpu.device));
    checks.push_back(check_gpu_memory(facts, gpu.device));
    checks.push_back(check_state(gpu));
  }
  checks.push_back(check_libraries(facts));
  return checks;
}

}  // namespace fluxq

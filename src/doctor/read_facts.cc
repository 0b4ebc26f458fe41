#include "doctor/read_facts.h"

#include <cstdlib>

#include "base/error.h"
#include "base/file.h"
#include "base/host_memory.h"
#include "base/machine.h"
#include "base/thread_pool.h"
#include "doctor/gpu_facts.h"
#include "doctor/model_facts.h"
#include "fluxq/version.h"
#include "hub/account.h"
#include "hub/cache_items.h"
#include "hub/cache_layout.h"
#include "kernels/cpu/gemm.h"

namespace fluxq {
namespace {

/// Asking a Hub that does not answer should not take minutes.
constexpr int kAttempts = 2;

HostFacts read_host() {
  return {.system = operating_system(),
          .kernel = kernel_release(),
          .processor = processor_name(),
          .cores = default_threads(),
          .features = processor_features({"avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni",
                                          "avx512_bf16", "amx_bf16", "amx_int8"}),
          .kernels = {gemm_kernel_name(GemmType::bf16), gemm_kernel_name(GemmType::s8)},
          .memory_bytes = total_memory_bytes(),
          .free_bytes = available_memory_bytes()};
}

DiskFacts read_disk(const std::filesystem::path& path) {
  DiskFacts disk{.path = path.string(), .free_bytes = {}};
  try {
    disk.free_bytes = available_disk_bytes(path);
  } catch (const Error&) {
    // Not known.
  }
  return disk;
}

void read_cache(HubFacts& hub, const CancelToken& cancel) {
  try {
    for (const CacheItem& item : find_items(CacheKind::hub, {}, cancel)) {
      ++hub.models;
      hub.bytes += item.size.bytes;
      hub.unfinished_bytes += item.unfinished_bytes;
    }
  } catch (const Error& error) {
    if (error.code() == ErrorCode::cancelled) throw;
    hub.cache_trouble = error.what();
  }
}

void read_token(HubFacts& hub, const HubPaths& paths) {
  try {
    if (!hub_token(paths)) return;
    const char* variable = std::getenv("HF_TOKEN");
    hub.token_origin = variable && *variable ? "HF_TOKEN" : paths.token.string();
  } catch (const Error& error) {
    hub.token_trouble = error.what();
  }
}

void ask_hub(HubFacts& hub, const HubPaths& paths, const std::string& model,
             const CancelToken& cancel) {
  const auto name = parse_hub_name(model);
  if (!name || hub.offline || !hub.token_trouble.empty()) return;
  hub.asked = true;
  try {
    const HubAccess access = hub_access(paths);
    HttpClient client({.attempts = kAttempts}, cancel);
    if (!access.token.empty()) hub.account = account_name(client, access);
    check_readable(client, access, *name);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::cancelled) throw;
    hub.access_trouble = error.what();
  }
}

}  // namespace

MachineFacts read_facts(const DoctorOptions& options, const CancelToken& cancel) {
  const HubPaths paths = hub_paths();
  MachineFacts facts;
  facts.model = read_model_facts(options.model);
  facts.build = {.version = std::string(version()),
                 .compiler = build_name(),
                 .architectures = built_architectures()};
  facts.host = read_host();
  facts.driver = read_driver();
  facts.models_disk = read_disk(paths.cache);
  facts.work_disk = read_disk(".");
  facts.hub.cache = paths.cache.string();
  facts.hub.offline = hub_is_offline();
  read_cache(facts.hub, cancel);
  read_token(facts.hub, paths);
  if (options.online) ask_hub(facts.hub, paths, options.model, cancel);
  return facts;
}

}  // namespace fluxq

#include <cstdlib>

#include "base/error.h"
#include "base/shared_files.h"
#include "fluxq/engine.h"
#include "hub/cache_layout.h"
#include "pipeline/model_folder.h"

namespace fluxq {
namespace {

namespace fs = std::filesystem;

/// Folders that hold models, in the order of search.
std::vector<fs::path> model_roots() {
  std::vector<fs::path> roots;
  if (const char* variable = std::getenv("FLUXQ_MODELS")) {
    std::string_view rest = variable;
    while (!rest.empty()) {
      const size_t colon = std::min(rest.find(':'), rest.size());
      if (colon > 0) roots.emplace_back(rest.substr(0, colon));
      rest.remove_prefix(std::min(colon + 1, rest.size()));
    }
  }
  for (const fs::path& folder : shared_folders()) roots.push_back(folder / "models");
  return roots;
}

}  // namespace

fs::path find_model(const std::string& name) {
  if (name.empty())
    fail(ErrorCode::bad_argument, "the model: expected a folder or a name, got nothing");
  std::error_code error;
  if (fs::exists(name, error)) return name;
  std::vector<std::string> tried = {name};
  const bool synthetic = name.starts_with(kSyntheticPrefix);
  const std::string own_name = synthetic ? name.substr(kSyntheticPrefix.size()) : name;
  const bool plain_name =
      own_name.find('/') == std::string::npos && own_name != "." && own_name != "..";
  if (plain_name && !own_name.empty()) {
    for (const fs::path& root : model_roots()) {
      const fs::path folder = synthetic ? root / "synthetic" / own_name : root / own_name;
      if (fs::is_directory(folder, error)) return folder;
      tried.push_back(folder.string());
    }
  }
  std::string advice;
  if (const std::optional<HubName> hub = parse_hub_name(name)) {
    const fs::path cache = hub_paths().cache;
    if (const std::optional<fs::path> snapshot = find_snapshot(cache, *hub)) return *snapshot;
    tried.push_back((cache / repo_folder_name(hub->repo)).string());
    const bool is_main = hub->revision == HubName().revision;
    advice = fmt::format(". If it is a model on the Hugging Face Hub: fluxq fetch {}{}{}",
                         hub->repo, is_main ? "" : " --revision ", is_main ? "" : hub->revision);
  }
  fail(ErrorCode::not_found, "the model \"{}\" was not found; looked for: {}{}", name,
       fmt::join(tried, ", "), advice);
}

}  // namespace fluxq

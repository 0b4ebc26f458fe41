/// `fluxq fetch`: a model from the Hugging Face Hub, into the cache that Python tools share.
#include <fmt/format.h>

#include "base/error.h"
#include "cli/commands.h"
#include "cli/download_bars.h"
#include "hub/fetch.h"

namespace fluxq::cli {
namespace {

struct Options {
  std::string model, revision;
  std::vector<std::string> only;
  std::string to;
  int connections = DownloadOptions().connections;
  bool json = false;
};

Json to_json(const Options& options, const HubName& name, const FetchResult& result) {
  Json files = Json::array();
  for (const HubFile& file : result.files)
    files.push_back({{"path", file.path}, {"bytes", file.bytes}, {"hash", file.hash}});
  return {{"model", name.repo},
          {"revision", name.revision},
          {"commit", result.commit},
          {"path", result.path.string()},
          {"in_cache", options.to.empty()},
          {"files", files},
          {"bytes", result.bytes},
          {"network_bytes", result.network_bytes}};
}

void run(const Options& options, const Session& session) {
  const std::string text =
      options.revision.empty() ? options.model : options.model + "@" + options.revision;
  const auto name = parse_hub_name(text);
  if (!name)
    fail(ErrorCode::bad_argument, "the model \"{}\": expected org/name or org/name@revision", text);
  FetchOptions fetch{.name = *name, .only = options.only, .to = options.to};
  fetch.download.connections = options.connections;
  fetch.on_plan = [&](const HubListing& listing, size_t files, uint64_t bytes) {
    if (files == 0) return note(session, fmt::format("{}: all files are there", listing.repo));
    note(session, fmt::format("{} at {}: {} {} to fetch, {}", listing.repo,
                              listing.commit.substr(0, 12), files, files == 1 ? "file" : "files",
                              format_bytes(static_cast<int64_t>(bytes))));
  };
  FetchResult result;
  {
    DownloadBars bars(session);
    result = fetch_model(fetch, bars, session.cancel);
  }
  if (options.json) return print_json(to_json(options, *name, result));
  print(result.path.string() + "\n");
  if (options.to.empty()) note(session, fmt::format("use it as: --model {}", text));
}

}  // namespace

void add_fetch(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("fetch", "Download a model from the Hugging Face Hub");
  command->footer(
      "Files go into the Hugging Face cache (HF_HOME, HF_HUB_CACHE), which Python tools share;\n"
      "what is there is used, an interrupted download goes on. The model's folder is printed.\n"
      "Example: fluxq fetch black-forest-labs/FLUX.1-schnell --only transformer,vae");
  command->add_option("MODEL", options->model, "org/name, or org/name@revision")->required();
  command->add_option("--revision", options->revision, "A branch, tag or commit (default: main)");
  command->add_option("--only", options->only, "Only these folders and files, separated by commas")
      ->delimiter(',')
      ->allow_extra_args(false);
  command->add_option("--to", options->to,
                      "Into this folder, as plain files, instead of the cache");
  command->add_option("--connections", options->connections, "At the same time")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  command->add_flag("--json", options->json, "One JSON object on standard output");
  command->callback([options, &session] { run(*options, session); });
}

}  // namespace fluxq::cli

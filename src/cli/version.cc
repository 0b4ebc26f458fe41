#include <fmt/format.h>

#include "cli/commands.h"
#include "fluxq/version.h"

namespace fluxq::cli {

void add_version(CLI::App& app, Session&) {
  struct Options {
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("version", "Print the version");
  command->footer("Example: fluxq version --json");
  command->add_flag("--json", options->json, "One JSON object on standard output");
  command->callback([options] {
    if (options->json) {
      print_json({{"version", version()}});
    } else {
      print(fmt::format("fluxq {}\n", version()));
    }
  });
}

}  // namespace fluxq::cli

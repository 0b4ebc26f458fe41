/// `fluxq schemes`: the table of quantization schemes, from the registry itself.
#include <fmt/format.h>

#include <algorithm>

#include "cli/commands.h"
#include "quant/scheme.h"

namespace fluxq::cli {
namespace {

/// The test plan that fluxq grew from named this configuration for int8; it is another thing.
constexpr std::string_view kIntxNote =
    "torchao's Int8DynamicActivationIntxWeightConfig is not int8dq: it targets ARM processors and "
    "ExecuTorch (groups of 32, "
    "asymmetric activations). The scheme for GPUs is Int8DynamicActivationInt8WeightConfig.";

std::vector<std::string> devices_of(const Scheme& scheme) {
  std::vector<std::string> devices;
  for (const Device device : {Device::cpu, Device::cuda}) {
    if (scheme.runs_on(device)) devices.emplace_back(device_name(device));
  }
  return devices;
}

std::string markdown() {
  std::string text =
      "| scheme | bits per weight | weight | activation | devices | good for | torchao "
      "|\n|---|---|---|---|---|---|---|\n";
  for (const Scheme* scheme : all_schemes()) {
    const SchemeInfo& info = scheme->info();
    text +=
        fmt::format("| `{}` | {:g} | {} | {} | {} | {} | {} |\n", info.name, info.bits_per_weight,
                    info.weight, info.activation, fmt::join(devices_of(*scheme), ", "),
                    info.good_for, info.torchao.empty() ? "-" : "`" + info.torchao + "`");
  }
  return text + "\n" + std::string(kIntxNote) + "\n";
}

std::string plain() {
  std::string text;
  for (const Scheme* scheme : all_schemes()) {
    const SchemeInfo& info = scheme->info();
    text += fmt::format("{}: {}\n", info.name, info.summary);
    text += fmt::format("  weight      {} ({:g} bits)\n  activation  {}\n", info.weight,
                        info.bits_per_weight, info.activation);
    text += fmt::format("  devices     {}\n  good for    {}\n",
                        fmt::join(devices_of(*scheme), ", "), info.good_for);
    if (!info.torchao.empty()) text += fmt::format("  torchao     {}\n", info.torchao);
    text += "\n";
  }
  return text + std::string(kIntxNote) + "\n";
}

Json json() {
  Json schemes = Json::array();
  for (const Scheme* scheme : all_schemes()) {
    const SchemeInfo& info = scheme->info();
    schemes.push_back({{"name", info.name},
                       {"summary", info.summary},
                       {"weight", info.weight},
                       {"activation", info.activation},
                       {"bits_per_weight", info.bits_per_weight},
                       {"devices", devices_of(*scheme)},
                       {"good_for", info.good_for},
                       {"torchao", info.torchao}});
  }
  return {{"schemes", schemes}, {"note", kIntxNote}};
}

}  // namespace

void add_schemes(CLI::App& app, Session&) {
  struct Options {
    bool json = false, markdown = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("schemes", "List the quantization schemes");
  command->footer("Example: fluxq schemes --json");
  CLI::Option* as_json =
      command->add_flag("--json", options->json, "One JSON object on standard output");
  command->add_flag("--markdown", options->markdown, "The table of docs/schemes.md")
      ->excludes(as_json);
  command->callback([options] {
    if (options->json) {
      print_json(json());
    } else {
      print(options->markdown ? markdown() : plain());
    }
  });
}

}  // namespace fluxq::cli

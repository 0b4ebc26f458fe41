/// `fluxq doctor`: what this machine has, what is wrong with it, and what works.
#include <fmt/format.h>

#include "cli/commands.h"
#include "doctor/checks.h"
#include "doctor/read_facts.h"

namespace fluxq::cli {
namespace {

std::string text_of(const Diagnosis& diagnosis) {
  std::string text;
  for (const Check& check : diagnosis.checks) {
    text += fmt::format("{:<8} {:<20} {}\n", to_string(check.health), check.name, check.text);
    if (!check.advice.empty()) text += fmt::format("{:>29} {}\n", "->", check.advice);
  }
  text += "\nWhat works here:\n";
  for (const std::string& sentence : diagnosis.works) text += fmt::format("  {}\n", sentence);
  return text;
}

void run(const DoctorOptions& options, bool json, Session& session) {
  const Diagnosis diagnosis = diagnose(read_facts(options, session.cancel));
  json ? print_json(to_json(diagnosis)) : print(text_of(diagnosis));
  session.exit_status = static_cast<int>(diagnosis.health());
}

}  // namespace

void add_doctor(CLI::App& app, Session& session) {
  auto options = std::make_shared<DoctorOptions>();
  auto json = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("doctor", "Check this machine and say what works on it");
  command->footer(
      "Exit status 0 if all is well, 1 with warnings, 2 with problems.\n"
      "Example: fluxq doctor --online");
  command
      ->add_option("--model", options->model,
                   "The model that the machine is meant for: a folder, a name, or org/name")
      ->capture_default_str();
  command->add_flag("--online", options->online,
                    "Ask the Hugging Face Hub whether your token may read the model");
  command->add_flag("--json", *json, "One JSON object on standard output");
  command->callback([options, json, &session] { run(*options, *json, session); });
}

}  // namespace fluxq::cli

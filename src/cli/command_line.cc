#include "cli/command_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "base/text.h"

namespace fluxq::cli {
namespace {

/// Whether all of `text` is a T, in decimal.
template <typename T>
bool is_a(const std::string& text) {
  T value = {};
  const char* const end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, value);
  // Real numbers beyond a double's are for the commands to refuse, by their own range.
  const bool is_beyond = std::is_floating_point_v<T> && error == std::errc::result_out_of_range;
  return stopped == end && (error == std::errc() || is_beyond);
}

/// "" or what is wrong, for CLI11.
template <typename Is>
auto expecting(const char* what, Is is) {
  return [what, is](const std::string& text) {
    return is(text) ? std::string() : fmt::format("expected {}, got \"{}\"", what, text);
  };
}

void check_number(CLI::Option& option) {
  const std::string type = option.get_type_name();
  if (type == "UINT")
    option.check(expecting("an integer from 0 to 2^64 - 1", is_a<uint64_t>), "");
  else if (type == "INT")
    option.check(expecting("an integer of at most 2147483647", is_a<int32_t>), "");
  else if (type == "FLOAT")
    option.check(expecting("a number", is_a<double>), "");
}

}  // namespace

void accept_help_first(int argc, char** argv) {
  static char option[] = "--help";
  if (argc < 2 || std::string_view(argv[1]) != "help") return;
  std::rotate(argv + 1, argv + 2, argv + argc);
  argv[argc - 1] = option;
}

void check_command(const CLI::App& app, int argc, char** argv) {
  const auto* word = std::find_if(argv + 1, argv + argc, [](const char* w) { return *w != '-'; });
  if (word == argv + argc) return;
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (command->get_name() == *word) return;
    if (!command->get_group().empty()) names.push_back(command->get_name());
  }
  fail(ErrorCode::bad_argument, "command {}: expected one of {}.{}", in_quotes(*word),
       fmt::join(names, ", "), did_you_mean(*word, names));
}

void check_numbers(CLI::App& app) {
  for (CLI::App* command : app.get_subcommands({}))
    for (CLI::Option* option : command->get_options()) check_number(*option);
}

std::string sentence_of(const CLI::ParseError& error) {
  std::string text = error.what();
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text + " (fluxq --help, or fluxq COMMAND --help, says more)";
}

}  // namespace fluxq::cli

/// What the program adds to CLI11: numbers are read as people write them, and a bad command line is
/// one sentence like any other error.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace fluxq::cli {

/// Makes `help COMMAND` the `COMMAND --help` that CLI11 knows.
void accept_help_first(int argc, char** argv);

/// Error(bad_argument) with near matches if the first word is no command. Options of the program
/// itself have no values, so the first word is one.
void check_command(const CLI::App& app, int argc, char** argv);

/// Makes every option of a number, in all commands, refuse what is none, with what was expected.
/// CLI11 by itself takes "-1" and 2^64 for an unsigned number, "010" for 8 and "" for nothing.
void check_numbers(CLI::App& app);

/// What is wrong with a command line, as one line.
std::string sentence_of(const CLI::ParseError& error);

}  // namespace fluxq::cli

/// The commands of the fluxq program, one file each, and what they share. A command parses its
/// options, calls the library and writes results to standard output; progress and warnings go to
/// standard error. Commands throw fluxq::Error; main.cc alone prints it and chooses the exit
/// status.
#pragma once

#include <CLI/CLI.hpp>
#include <string_view>

#include "base/json.h"
#include "fluxq/cancel.h"
#include "fluxq/progress.h"

namespace fluxq::cli {

/// What all commands share.
struct Session {
  CancelToken cancel;    ///< set by SIGINT and SIGTERM
  bool quiet = false;    ///< no progress, no notes; warnings and errors stay
  bool verbose = false;  ///< says more about what is done
  /// What the program ends with when a command ends without an Error.
  int exit_status = 0;
};

void add_generate(CLI::App& app, Session& session);
void add_inspect(CLI::App& app, Session& session);
void add_schemes(CLI::App& app, Session& session);
void add_quantize(CLI::App& app, Session& session);
void add_coverage(CLI::App& app, Session& session);
void add_distort(CLI::App& app, Session& session);
void add_bench(CLI::App& app, Session& session);
void add_doctor(CLI::App& app, Session& session);
void add_fetch(CLI::App& app, Session& session);
void add_cache(CLI::App& app, Session& session);
void add_login(CLI::App& app, Session& session);
void add_logout(CLI::App& app, Session& session);
void add_report(CLI::App& app, Session& session);
void add_recommend(CLI::App& app, Session& session);
void add_compare(CLI::App& app, Session& session);
void add_version(CLI::App& app, Session& session);

/// Writes to standard output; Error(io) when it is closed or full.
void print(std::string_view text);
void print_json(const Json& value);
/// A line on standard error, unless --quiet.
void note(const Session& session, std::string_view line);

/// "13.1 MB", "640 B": powers of 1000.
std::string format_bytes(int64_t bytes);

}  // namespace fluxq::cli

/// The fluxq program: signals, commands, and the one place that prints errors and chooses the exit
/// status.
#include <fmt/format.h>

#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <new>
#include <string_view>

#include "base/error.h"
#include "cli/command_line.h"
#include "cli/commands.h"
#include "cli/out_of_memory.h"
#include "fluxq/version.h"

namespace {

using fluxq::cli::Session;

Session session;
volatile std::sig_atomic_t last_signal = 0;

void on_signal(int signal) {
  if (last_signal != 0) _exit(128 + signal);  // the second one leaves at once
  last_signal = signal;
  session.cancel.request();
}

void install_signals() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  // A closed pipe and a file size limit are reported by write(), not by killing the process.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
}

int report(fluxq::ErrorCode code, std::string_view text) {
  fmt::print(stderr, "fluxq: {}: {}\n", fluxq::error_info(code).name, text);
  if (code == fluxq::ErrorCode::cancelled && last_signal != 0) return 128 + last_signal;
  return fluxq::error_info(code).exit_status;
}

int run(int argc, char** argv) {
  CLI::App app("fluxq: FLUX.1 text-to-image with measured quantization", "fluxq");
  app.require_subcommand(1);
  app.fallthrough();
  app.set_version_flag("--version", std::string("fluxq ") + std::string(fluxq::version()));
  app.add_flag("-q,--quiet", session.quiet, "No progress and no notes");
  app.add_flag("-v,--verbose", session.verbose, "Say more about what is done");
  app.footer("Each command has --help with an example.");
  fluxq::cli::add_generate(app, session);
  fluxq::cli::add_inspect(app, session);
  fluxq::cli::add_schemes(app, session);
  fluxq::cli::add_quantize(app, session);
  fluxq::cli::add_coverage(app, session);
  fluxq::cli::add_distort(app, session);
  fluxq::cli::add_bench(app, session);
  fluxq::cli::add_doctor(app, session);
  fluxq::cli::add_fetch(app, session);
  fluxq::cli::add_cache(app, session);
  fluxq::cli::add_login(app, session);
  fluxq::cli::add_logout(app, session);
  fluxq::cli::add_report(app, session);
  fluxq::cli::add_recommend(app, session);
  fluxq::cli::add_compare(app, session);
  fluxq::cli::add_version(app, session);
  fluxq::cli::accept_help_first(argc, argv);
  fluxq::cli::check_command(app, argc, argv);
  fluxq::cli::check_numbers(app);
  try {
    app.parse(argc, argv);
    return session.exit_status;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    return report(fluxq::ErrorCode::bad_argument, fluxq::cli::sentence_of(error));
  }
}

}  // namespace

int main(int argc, char** argv) {
  install_signals();
  fluxq::cli::report_uncaught_bad_alloc();
  try {
    return run(argc, argv);
  } catch (const fluxq::Error& error) {
    return report(error.code(), error.what());
  } catch (const std::bad_alloc&) {
    return report(fluxq::ErrorCode::out_of_memory_host, fluxq::cli::kOutOfMemory);
  } catch (const std::filesystem::filesystem_error& error) {
    return report(fluxq::ErrorCode::io, error.what());
  } catch (const std::exception& error) {
    return report(fluxq::ErrorCode::internal, error.what());
  }
}

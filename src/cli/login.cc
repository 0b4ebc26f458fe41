/// `fluxq login` and `fluxq logout`: the Hugging Face token, in the file that Python tools share.
#include <fmt/format.h>
#include <termios.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "base/error.h"
#include "cli/commands.h"
#include "hub/account.h"

namespace fluxq::cli {
namespace {

/// The terminal does not show what is typed while this lives.
class HiddenInput {
 public:
  HiddenInput() : on_(::tcgetattr(STDIN_FILENO, &before_) == 0) {
    if (!on_) return;
    termios hidden = before_;
    hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    ::tcsetattr(STDIN_FILENO, TCSANOW, &hidden);
  }
  ~HiddenInput() {
    if (on_) ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  HiddenInput(const HiddenInput&) = delete;
  HiddenInput& operator=(const HiddenInput&) = delete;

 private:
  termios before_ = {};
  bool on_;
};

std::string read_token(const HubAccess& access, const Session& session) {
  const bool asks = ::isatty(STDIN_FILENO) == 1;
  if (asks)
    fmt::print(stderr, "Make a token that may read at {}/settings/tokens and paste it here: ",
               access.endpoint);
  std::fflush(stderr);
  std::string token;
  const HiddenInput hidden;
  std::getline(std::cin, token);
  if (asks) fmt::print(stderr, "\n");
  session.cancel.check();  // an interrupted read looks like an empty line
  return token;
}

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value && *value;
}

void log_in(bool check, const Session& session) {
  const HubPaths paths = hub_paths();
  HubAccess access = hub_access(paths);
  const std::string token = checked_hub_token(read_token(access, session), "the input");
  if (check && !hub_is_offline()) {
    access.token = token;
    HttpClient client(HttpOptions(), session.cancel);
    note(session, fmt::format("this is the token of {}", account_name(client, access)));
  }
  store_hub_token(paths, token);
  note(session, fmt::format("stored in {}", paths.token.string()));
  if (is_set("HF_TOKEN")) note(session, "HF_TOKEN is set too, and goes before it");
}

void log_out(const Session& session) {
  const HubPaths paths = hub_paths();
  std::error_code error;
  const bool removed = std::filesystem::remove(paths.token, error);
  if (error) fail_errno(fmt::format("cannot remove {}", paths.token.string()), error.value());
  note(session,
       removed ? fmt::format("removed {}", paths.token.string()) : "there was no stored token");
  const std::filesystem::path stored = paths.token.parent_path() / "stored_tokens";
  if (std::filesystem::exists(stored, error))
    note(session, fmt::format("huggingface_hub keeps tokens in {} too: hf auth logout removes them",
                              stored.string()));
  if (is_set("HF_TOKEN")) note(session, "HF_TOKEN is still set");
}

}  // namespace

void add_login(CLI::App& app, Session& session) {
  auto unchecked = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("login", "Store a Hugging Face token for gated models");
  command->footer(
      "The token is read from the terminal or from standard input, never from an argument.\n"
      "Example: fluxq login < token.txt");
  command->add_flag("--no-check", *unchecked, "Store it without asking the Hub whose it is");
  command->callback([unchecked, &session] { log_in(!*unchecked, session); });
}

void add_logout(CLI::App& app, Session& session) {
  CLI::App* command = app.add_subcommand("logout", "Remove the stored Hugging Face token");
  command->footer("Example: fluxq logout");
  command->callback([&session] { log_out(session); });
}

}  // namespace fluxq::cli

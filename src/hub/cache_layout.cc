#include "hub/cache_layout.h"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "base/file.h"
#include "base/text.h"

namespace fluxq {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxTokenBytes = 4096;
constexpr size_t kMaxNameBytes = 96;
constexpr size_t kMaxRevisionBytes = 255;
constexpr std::string_view kRepoPrefix = "models--";

/// The variable's value, empty if it is not set.
std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

std::string user_home() {
  if (std::string home = environment("HOME"); !home.empty()) return home;
  const passwd* entry = ::getpwuid(::getuid());
  return entry && entry->pw_dir ? entry->pw_dir : "/";
}

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/// $NAME and ${NAME}; what is not set stays as it is written.
std::string expand_variables(std::string_view text) {
  std::string expanded;
  while (!text.empty()) {
    const size_t dollar = std::min(text.find('$'), text.size());
    expanded += text.substr(0, dollar);
    text.remove_prefix(dollar);
    if (text.empty()) break;
    const bool braced = text.size() > 1 && text[1] == '{';
    const size_t begin = braced ? 2 : 1;
    const size_t end = braced
                           ? text.find('}')
                           : std::find_if_not(text.begin() + 1, text.end(), is_word) - text.begin();
    const bool named = end != text.npos && end > begin;
    const size_t length = named ? end + (braced ? 1 : 0) : 1;
    const char* value =
        named ? std::getenv(std::string(text.substr(begin, end - begin)).c_str()) : nullptr;
    expanded += value ? std::string_view(value) : text.substr(0, length);
    text.remove_prefix(length);
  }
  return expanded;
}

fs::path expand(std::string text) {
  if (text == "~" || text.starts_with("~/")) text = user_home() + text.substr(1);
  return expand_variables(text);
}

/// A variable that names a path, or `otherwise`.
fs::path path_setting(const char* variable, const fs::path& otherwise) {
  const std::string value = environment(variable);
  return expand(value.empty() ? otherwise.string() : value);
}

std::string trimmed(std::string_view text) {
  constexpr std::string_view kSpaces = " \t\r\n\f\v";
  const size_t begin = text.find_first_not_of(kSpaces);
  if (begin == text.npos) return {};
  return std::string(text.substr(begin, text.find_last_not_of(kSpaces) - begin + 1));
}

/// Empty if there is nothing but spaces.
std::string clean_token(std::string_view text, std::string_view origin) {
  std::string token = trimmed(text);
  const auto is_visible = [](char c) { return c > ' ' && c < '\x7f'; };
  if (token.size() > kMaxTokenBytes || !std::all_of(token.begin(), token.end(), is_visible))
    fail(ErrorCode::bad_argument,
         "the Hugging Face token of {}: expected at most {} letters, digits and signs, got "
         "something else",
         origin, kMaxTokenBytes);
  return token;
}

/// One part of "org/name".
bool is_name_part(std::string_view part) {
  const auto is_allowed = [](char c) { return is_word(c) || c == '-' || c == '.'; };
  return !part.empty() && part.size() <= kMaxNameBytes && is_word(part.front()) &&
         is_word(part.back()) && std::all_of(part.begin(), part.end(), is_allowed) &&
         part.find("--") == part.npos && part.find("..") == part.npos;
}

}  // namespace

fs::path user_cache_folder() {
  return path_setting("XDG_CACHE_HOME", fs::path(user_home()) / ".cache");
}

HubPaths hub_paths() {
  HubPaths paths;
  paths.home = path_setting("HF_HOME", user_cache_folder() / "huggingface");
  paths.cache =
      path_setting("HF_HUB_CACHE", path_setting("HUGGINGFACE_HUB_CACHE", paths.home / "hub"));
  paths.token = path_setting("HF_TOKEN_PATH", paths.home / "token");
  return paths;
}

std::optional<std::string> hub_token(const HubPaths& paths) {
  for (const char* variable : {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"})
    if (std::string token = clean_token(environment(variable), variable); !token.empty())
      return token;
  std::error_code ignored;
  if (!fs::exists(paths.token, ignored)) return {};
  std::string token =
      clean_token(read_text_file(paths.token, kMaxTokenBytes), paths.token.string());
  if (token.empty()) return {};
  return token;
}

std::string checked_hub_token(std::string_view text, std::string_view origin) {
  std::string token = clean_token(text, origin);
  if (token.empty())
    fail(ErrorCode::bad_argument, "the Hugging Face token of {}: expected one, got nothing",
         origin);
  return token;
}

void store_hub_token(const HubPaths& paths, std::string_view text) {
  const std::string token = checked_hub_token(text, "the input");
  const fs::path folder = paths.token.parent_path();
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail_errno(fmt::format("cannot create {}", folder.string()), error.value());
  atomic_write(paths.token, token, 0600);
}

bool hub_is_offline() {
  std::string value = environment("HF_HUB_OFFLINE");
  if (value.empty()) value = environment("TRANSFORMERS_OFFLINE");
  std::transform(value.begin(), value.end(), value.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return value == "1" || value == "on" || value == "yes" || value == "true";
}

std::optional<HubName> parse_hub_name(std::string_view text) {
  HubName name;
  if (const size_t at = text.find('@'); at != text.npos) {
    name.revision = text.substr(at + 1);
    text = text.substr(0, at);
    if (!is_hub_revision(name.revision)) return {};
  }
  const size_t slash = text.find('/');
  if (slash == text.npos || !is_name_part(text.substr(0, slash)) ||
      !is_name_part(text.substr(slash + 1)) || text.ends_with(".git"))
    return {};
  name.repo = text;
  return name;
}

bool is_hub_revision(std::string_view revision) {
  if (revision.empty() || revision.size() > kMaxRevisionBytes || !is_utf8(revision) ||
      has_control_character(revision) || revision.find('\\') != revision.npos)
    return false;
  for (size_t begin = 0; begin <= revision.size();) {
    const size_t end = std::min(revision.find('/', begin), revision.size());
    const std::string_view part = revision.substr(begin, end - begin);
    if (part.empty() || part.front() == '.') return false;  // git refuses these too
    begin = end + 1;
  }
  return true;
}

bool is_commit(std::string_view text) {
  return text.size() == 40 && text.find_first_not_of("0123456789abcdef") == text.npos;
}

std::string repo_folder_name(std::string_view repo) {
  std::string name(kRepoPrefix);
  for (const char c : repo) {
    if (c == '/')
      name += "--";
    else
      name += c;
  }
  return name;
}

std::optional<fs::path> find_snapshot(const fs::path& cache, const HubName& name) {
  if (!is_hub_revision(name.revision))
    fail(ErrorCode::bad_argument, "the revision {}: expected the name of a branch, tag or commit",
         in_quotes(name.revision));
  const fs::path folder = cache / repo_folder_name(name.repo);
  std::error_code ignored;
  std::string commit = name.revision;
  if (!is_commit(commit)) {
    const fs::path ref = folder / "refs" / name.revision;
    if (!fs::is_regular_file(ref, ignored)) return {};
    commit = trimmed(read_text_file(ref, kMaxRefBytes));
    if (!is_commit(commit))
      fail(ErrorCode::corrupt_file, "{}: expected a commit of 40 hexadecimal digits, got {}",
           ref.string(), in_quotes(commit));
  }
  fs::path snapshot = folder / "snapshots" / commit;
  if (!fs::is_directory(snapshot, ignored)) return {};
  return snapshot;
}

std::string model_name_of(const fs::path& folder) {
  std::error_code error;
  fs::path path = fs::weakly_canonical(folder, error);
  if (error) path = folder;
  const std::string repo = path.parent_path().parent_path().filename().string();
  if (path.parent_path().filename() == "snapshots" && repo.starts_with(kRepoPrefix)) {
    const std::string_view name = std::string_view(repo).substr(kRepoPrefix.size());
    if (const size_t separator = name.find("--"); separator != name.npos)
      return fmt::format("{}/{}", name.substr(0, separator), name.substr(separator + 2));
  }
  return path.filename().string();
}

}  // namespace fluxq

#include "hub/listing.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "base/text.h"

namespace fluxq {
namespace {

constexpr size_t kMaxFiles = 100'000;
constexpr size_t kMaxPathBytes = 1024;
constexpr size_t kMaxPathPartBytes = 255;
constexpr int64_t kMaxFileBytes = int64_t{1} << 44;  // 16 TiB

constexpr std::string_view kIndex = "model_index.json";
constexpr std::array<std::string_view, 7> kParts = {"scheduler", "text_encoder", "text_encoder_2",
                                                    "tokenizer", "tokenizer_2",  "transformer",
                                                    "vae"};
constexpr std::array<std::string_view, 4> kEndings = {".json", ".txt", ".model", ".safetensors"};

bool is_hex(std::string_view text, size_t digits) {
  return text.size() == digits && text.find_first_not_of("0123456789abcdef") == text.npos;
}

/// Stays inside any folder that it is appended to.
bool is_safe_path(std::string_view path) {
  if (path.size() > kMaxPathBytes || !is_utf8(path) || has_control_character(path) ||
      path.find('\\') != path.npos)
    return false;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    if (part.empty() || part == "." || part == ".." || part.size() > kMaxPathPartBytes)
      return false;
    begin = end + 1;
  }
  return true;
}

/// A getter's corrupt_file is the server's fault here.
template <typename Get>
auto from_server(Get get) {
  try {
    return get();
  } catch (const Error& error) {
    throw Error(ErrorCode::network, error.what());
  }
}

HubFile parse_file(const Json& entry, std::string_view where) {
  HubFile file;
  file.path = require_string(entry, "rfilename", where);
  if (!is_safe_path(file.path))
    fail(ErrorCode::network, "{}: rfilename: expected a relative path, got {}", where,
         in_quotes(file.path));
  const std::string here = fmt::format("{}: {}", where, file.path);
  const Json* lfs = find_member(entry, "lfs", where);
  const bool is_lfs = lfs && !lfs->is_null();
  file.hash = is_lfs ? require_string(*lfs, "sha256", here) : require_string(entry, "blobId", here);
  file.bytes =
      static_cast<uint64_t>(require_int(is_lfs ? *lfs : entry, "size", here, 0, kMaxFileBytes));
  if (!is_hex(file.hash, is_lfs ? 64 : 40))
    fail(ErrorCode::network, "{}: expected a hash of {} hexadecimal digits, got {}", here,
         is_lfs ? 64 : 40, in_quotes(file.hash));
  return file;
}

std::string_view top_of(std::string_view path) { return path.substr(0, path.find('/')); }

bool is_needed_type(std::string_view path) {
  return std::any_of(kEndings.begin(), kEndings.end(),
                     [&](std::string_view ending) { return path.ends_with(ending); });
}

}  // namespace

HubAccess hub_access(const HubPaths& paths) {
  const char* setting = std::getenv("HF_ENDPOINT");
  HubAccess access;
  access.endpoint = setting && *setting ? setting : "https://huggingface.co";
  while (access.endpoint.ends_with('/')) access.endpoint.pop_back();
  try {
    (void)Url(access.endpoint);
  } catch (const Error& error) {
    fail(ErrorCode::bad_argument, "HF_ENDPOINT: {}", error.what());
  }
  access.token = hub_token(paths).value_or("");
  return access;
}

HubListing list_model(HttpClient& client, const HubAccess& access, const HubName& name) {
  const std::string url = fmt::format("{}/api/models/{}/revision/{}?blobs=true", access.endpoint,
                                      url_quote(name.repo, true), url_quote(name.revision));
  const HttpResponse response = client.send_with_retries({.url = url, .token = access.token});
  if (response.status != 200) fail_access(response, access, name);
  return parse_listing(response.body, name.repo, shown_url(url));
}

HubListing parse_listing(std::string_view json, const std::string& repo, std::string_view where) {
  return from_server([&] {
    const Json root = parse_json(json, where, {.depth = 32, .bytes = 64 << 20});
    HubListing listing{.repo = repo, .commit = require_string(root, "sha", where), .files = {}};
    if (!is_commit(listing.commit))
      fail(ErrorCode::network, "{}: sha: expected a commit, got {}", where,
           in_quotes(listing.commit));
    const Json* siblings = find_member(root, "siblings", where);
    if (!siblings || !siblings->is_array() || siblings->size() > kMaxFiles)
      fail(ErrorCode::network, "{}: siblings: expected an array of at most {} files, got {}", where,
           kMaxFiles, siblings ? describe(*siblings) : "nothing");
    std::set<std::string> seen;
    for (const Json& entry : *siblings) {
      listing.files.push_back(parse_file(entry, where));
      if (!seen.insert(listing.files.back().path).second)
        fail(ErrorCode::network, "{}: expected each file once, got {} twice", where,
             listing.files.back().path);
    }
    std::sort(listing.files.begin(), listing.files.end(),
              [](const HubFile& a, const HubFile& b) { return a.path < b.path; });
    return listing;
  });
}

std::vector<HubFile> select_files(const HubListing& listing, const std::vector<std::string>& only) {
  const auto has = [&](auto matches) {
    return std::any_of(listing.files.begin(), listing.files.end(), matches);
  };
  if (only.empty() && !has([](const HubFile& file) { return file.path == kIndex; }))
    fail(ErrorCode::bad_argument,
         "{}: expected a model in diffusers' layout, got one without {}; name the files to fetch "
         "with --only",
         listing.repo, kIndex);
  const auto is_in = [](const HubFile& file, std::string_view folder) {
    return file.path.size() > folder.size() && file.path.starts_with(folder) &&
           file.path[folder.size()] == '/';
  };
  for (const std::string& name : only) {
    if (has([&](const HubFile& file) { return file.path == name || is_in(file, name); })) continue;
    std::set<std::string> names;
    for (const HubFile& file : listing.files) names.emplace(top_of(file.path));
    fail(ErrorCode::bad_argument, "{} has no file or folder {}.{}", listing.repo, in_quotes(name),
         did_you_mean(name, std::vector<std::string>(names.begin(), names.end())));
  }
  std::vector<std::string_view> folders(only.begin(), only.end());
  if (only.empty()) folders.assign(kParts.begin(), kParts.end());
  std::vector<HubFile> selected;
  std::copy_if(listing.files.begin(), listing.files.end(), std::back_inserter(selected),
               [&](const HubFile& file) {
                 return file.path == kIndex ||
                        std::any_of(folders.begin(), folders.end(), [&](std::string_view name) {
                          return file.path == name ||
                                 (is_in(file, name) && is_needed_type(file.path));
                        });
               });
  return selected;
}

std::string file_url(const HubAccess& access, const HubListing& listing, const HubFile& file) {
  return fmt::format("{}/{}/resolve/{}/{}", access.endpoint, url_quote(listing.repo, true),
                     listing.commit, url_quote(file.path, true));
}

void fail_access(const HttpResponse& response, const HubAccess& access, const HubName& name) {
  const std::string page = fmt::format("{}/{}", access.endpoint, name.repo);
  const std::string_view code = response.header("x-error-code");
  const std::string said(response.header("x-error-message"));
  const std::string withheld =
      !access.token.empty() && !response.has_token
          ? " (your token was not sent, because the connection is not encrypted)"
          : "";
  const std::string log_in = "run: fluxq login, or set HF_TOKEN" + withheld;
  const int status = response.status;
  if (code == "GatedRepo" && !response.has_token)
    fail(ErrorCode::network,
         "{} is gated: accept its licence at {}, make a token at {}/settings/tokens, then {}",
         name.repo, page, access.endpoint, log_in);
  if (code == "GatedRepo")
    fail(ErrorCode::network,
         "{} is gated, and the account of your token has no access to it: accept its licence at {}",
         name.repo, page);
  if (code == "RevisionNotFound")
    fail(ErrorCode::not_found, "{} has no revision {}: see {}/tree/main for its branches",
         name.repo, in_quotes(name.revision), page);
  if (status == 401 && response.has_token && code != "RepoNotFound")
    fail(ErrorCode::network,
         "{}: your Hugging Face token is not accepted ({}): make a new one at {}/settings/tokens, "
         "then {}",
         page, said.empty() ? "status 401" : in_quotes(said), access.endpoint, log_in);
  if (status == 401 || status == 404 || code == "RepoNotFound")
    fail(ErrorCode::not_found, "{}: there is no such model, or it is private{}", page,
         response.has_token ? " and not open to your token" : ": if it is yours, " + log_in);
  if (status == 403)
    fail(ErrorCode::network,
         "{}: access is refused ({}): accept the model's licence at that page, and allow your "
         "token to read gated repositories at {}/settings/tokens",
         page, said.empty() ? "status 403" : in_quotes(said), access.endpoint);
  fail(ErrorCode::network, "{}: expected an answer, got {}", shown_url(response.url),
       describe(response));
}

}  // namespace fluxq

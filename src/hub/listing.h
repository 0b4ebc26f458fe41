/// What a model on the Hub consists of, from the Hub's API, and which of its files fluxq needs.
/// The listing names for each file the hash that its contents must have: everything downloaded is
/// held to it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hub/cache_layout.h"
#include "hub/http.h"

namespace fluxq {

/// Where the Hub is and who asks.
struct HubAccess {
  std::string endpoint;  ///< HF_ENDPOINT or "https://huggingface.co", without "/" at the end
  std::string token;     ///< empty: none
};

/// From the environment and the token file. Error(bad_argument) if HF_ENDPOINT is no http(s) URL.
HubAccess hub_access(const HubPaths& paths);

struct HubFile {
  std::string path;  ///< "vae/config.json": relative, without "." and ".."
  uint64_t bytes = 0;
  std::string hash;  ///< SHA-256 (64 digits) of an LFS file, else git's SHA-1 of the blob (40)

  bool operator==(const HubFile&) const = default;
};

struct HubListing {
  std::string repo, commit;
  std::vector<HubFile> files;  ///< sorted by path
};

/// Asks for `name` at its revision. Errors: not_found (no such model or revision), network (not
/// allowed, with what to do about it; an answer of another form; no answer).
HubListing list_model(HttpClient& client, const HubAccess& access, const HubName& name);

/// Reads the API's answer; `where` begins each message. Error(network) for another form, a path
/// that could lead elsewhere, a missing size or hash.
HubListing parse_listing(std::string_view json, const std::string& repo, std::string_view where);

/// The files of `only`, each a folder or a file of the listing, or, if it is empty, of the seven
/// parts of a FLUX.1 pipeline; model_index.json comes with either. Of a folder only configurations,
/// tokenizers and safetensors are taken. Error(bad_argument) for a name that matches nothing, and
/// for a model that is not in diffusers' layout if `only` is empty.
std::vector<HubFile> select_files(const HubListing& listing, const std::vector<std::string>& only);

/// The URL of a file's contents.
std::string file_url(const HubAccess& access, const HubListing& listing, const HubFile& file);

/// Throws what an answer without success (a status of 400 or more) from the Hub means to a user.
[[noreturn]] void fail_access(const HttpResponse& response, const HubAccess& access,
                              const HubName& name);

}  // namespace fluxq

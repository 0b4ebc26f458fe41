/// Where Hugging Face's Python tools keep models and the token, so that fluxq finds what they
/// downloaded and they find what fluxq downloads. The layout is that of huggingface_hub 2.4:
///
///   CACHE/models--org--name/refs/main                  the commit, 40 hexadecimal digits
///   CACHE/models--org--name/snapshots/COMMIT/vae/x     a link to ../../../blobs/HASH
///   CACHE/models--org--name/blobs/HASH                 SHA-256 of an LFS file, else git's SHA-1
///   CACHE/blobs/ab/XET_HASH                            what a blob may be a link to
///
/// Two settings are read with more care than there: a variable that is set but empty counts as not
/// set, and a revision or reference that could lead out of the model's folder is refused.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace fluxq {

struct HubPaths {
  std::filesystem::path home;   ///< HF_HOME, else $XDG_CACHE_HOME/huggingface, else ~/.cache/…
  std::filesystem::path cache;  ///< HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, else home/hub
  std::filesystem::path token;  ///< HF_TOKEN_PATH, else home/token
};

/// XDG_CACHE_HOME, else ~/.cache. fluxq keeps its own things in its folder "fluxq".
std::filesystem::path user_cache_folder();

/// From the environment; "~" and $VARIABLES inside the values are expanded as Python does.
HubPaths hub_paths();

/// HF_TOKEN, HUGGING_FACE_HUB_TOKEN or the token file, without spaces and line ends around it;
/// nothing where there is none. Error(bad_argument) if it holds what no HTTP header can carry; the
/// message does not show it.
std::optional<std::string> hub_token(const HubPaths& paths);

/// `text` without spaces around it, as a token; `origin` is for the message: "HF_TOKEN". Errors as
/// of hub_token(), and bad_argument if nothing is left.
std::string checked_hub_token(std::string_view text, std::string_view origin);

/// Keeps the token in the token file, readable for this user alone, complete or not at all.
void store_hub_token(const HubPaths& paths, std::string_view token);

/// HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is "1", "on", "yes" or "true" (any case).
bool hub_is_offline();

/// A model on the Hub: "org/name", and a branch, tag or commit.
struct HubName {
  std::string repo;
  std::string revision = "main";

  bool operator==(const HubName&) const = default;
};

/// "org/name" or "org/name@revision"; nothing for text of another form. The rules for names are
/// those of huggingface_hub's validate_repo_id, and the organisation is required.
std::optional<HubName> parse_hub_name(std::string_view text);

/// A name of a branch, tag or commit that is safe as a path below refs/.
bool is_hub_revision(std::string_view revision);

/// What a reference file may hold at most.
inline constexpr uint64_t kMaxRefBytes = 256;

/// 40 lower-case hexadecimal digits.
bool is_commit(std::string_view text);

/// "models--org--name".
std::string repo_folder_name(std::string_view repo);

/// The folder of the files of `name` in `cache`, if it is there; the files in it may be incomplete.
/// Error(corrupt_file) if refs/REVISION holds no commit.
std::optional<std::filesystem::path> find_snapshot(const std::filesystem::path& cache,
                                                   const HubName& name);

/// "org/name" for a snapshot's folder (".../models--org--name/snapshots/COMMIT"), else the folder's
/// own name.
std::string model_name_of(const std::filesystem::path& folder);

}  // namespace fluxq

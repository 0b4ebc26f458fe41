/// What the readers of the models' config.json files share. A config drives allocations, so every
/// number has a limit, and a value that would need code that does not exist is refused by name.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "fluxq/progress.h"
#include "kernels/kernels.h"

namespace fluxq {

// Limits of every model. FLUX.1's own largest numbers: 57 layers, 24 heads, width 15360, vocabulary
// 49408.
inline constexpr int64_t kMaxLayers = 1024;
inline constexpr int64_t kMaxHeads = 1024;
inline constexpr int64_t kMaxWidth = int64_t{1} << 16;
inline constexpr int64_t kMaxVocabulary = int64_t{1} << 22;

/// Reads and parses a config file of at most 1 MiB. Errors: not_found, io, corrupt_file.
Json read_config_file(const std::filesystem::path& file);

/// Error(unsupported) unless `key` is missing, null or this string.
void require_value(const Json& config, std::string_view key, std::string_view where,
                   std::string_view expected);
/// Error(unsupported) unless the flag is missing, null or this one.
void require_flag(const Json& config, std::string_view key, std::string_view where, bool expected);

/// An activation by its name in transformers' ACT2FN; Error(unsupported) naming key and value.
Act parse_act(std::string_view name, std::string_view key, std::string_view where);

/// Warns of keys that neither decide anything here (`known`) nor are harmless in general: they may
/// change what the model means.
void warn_unknown_keys(const Json& config, std::string_view where,
                       std::initializer_list<std::string_view> known, Progress& progress);

/// a * b, or Error(corrupt_file) naming `what` when it is above `limit`.
int64_t capped_product(int64_t a, int64_t b, int64_t limit, std::string_view what,
                       std::string_view where);

}  // namespace fluxq

/// The hashes by which the Hub names contents.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "fluxq/cancel.h"

namespace fluxq {

/// "SHA-256" for 64 digits, "git SHA-1" for 40.
std::string_view hash_name(std::string_view hash);

/// The hash of a file, of the kind of `like`: SHA-256 of the bytes, or SHA-1 of "blob SIZE\0" and
/// the bytes (git hash-object). `on_bytes` hears how many bytes were read so far. Errors as of
/// InputFile; cancelled.
std::string hash_file(const std::filesystem::path& path, std::string_view like,
                      const CancelToken& cancel,
                      const std::function<void(uint64_t bytes)>& on_bytes = {});

}  // namespace fluxq

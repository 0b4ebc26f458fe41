/// One hash for all weights of a model: what a picture's metadata names.
#pragma once

#include <filesystem>
#include <string>

#include "fluxq/cancel.h"

namespace fluxq {

/// For a model folder: the SHA-256 of the text that `sha256sum */*.safetensors` prints there in the
/// C locale, that is one line "HASH  PART/FILE\n" per weight file of its sub-folders (hidden ones
/// left out), in the order of the bytes of PART/FILE. For a file: its own SHA-256. Files are read
/// by `threads` threads. not_found if the folder has no weights; errors of InputFile; cancelled.
std::string weights_sha256(const std::filesystem::path& model, int threads,
                           const CancelToken& cancel = {});

}  // namespace fluxq

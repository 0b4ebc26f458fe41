/// SHA-256 (FIPS 180-4, by OpenSSL): the name of contents in metadata, caches and downloads.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "fluxq/cancel.h"

namespace fluxq {

/// Incremental: any number of update(), then hex() once.
class Sha256 {
 public:
  Sha256();
  ~Sha256();

  void update(std::span<const std::byte> bytes);
  void update(std::string_view text) { update(std::as_bytes(std::span(text))); }
  /// 64 lower-case hexadecimal digits.
  std::string hex();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

std::string sha256_hex(std::string_view bytes);

/// Of a whole file, read in blocks of 1 MiB. Errors as of InputFile; cancelled between two blocks.
std::string sha256_file(const std::filesystem::path& path, const CancelToken& cancel);

}  // namespace fluxq

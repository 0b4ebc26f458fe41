#include "base/sha256.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/file.h"

namespace fluxq {

struct Sha256::Context {
  EVP_MD_CTX* evp = EVP_MD_CTX_new();
  ~Context() { EVP_MD_CTX_free(evp); }
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  if (context_->evp == nullptr || EVP_DigestInit_ex(context_->evp, EVP_sha256(), nullptr) != 1)
    fail(ErrorCode::internal, "OpenSSL offers no SHA-256");
}

Sha256::~Sha256() = default;

void Sha256::update(std::span<const std::byte> bytes) {
  if (EVP_DigestUpdate(context_->evp, bytes.data(), bytes.size()) != 1)
    fail(ErrorCode::internal, "OpenSSL failed in SHA-256");
}

std::string Sha256::hex() {
  std::array<unsigned char, 32> digest;
  if (EVP_DigestFinal_ex(context_->evp, digest.data(), nullptr) != 1)
    fail(ErrorCode::internal, "OpenSSL failed in SHA-256");
  return fmt::format("{:02x}", fmt::join(digest, ""));
}

std::string sha256_hex(std::string_view bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.hex();
}

std::string sha256_file(const std::filesystem::path& path, const CancelToken& cancel) {
  constexpr uint64_t kBlockBytes = 1 << 20;
  const InputFile file(path);
  Sha256 hash;
  std::vector<std::byte> block(std::min(kBlockBytes, file.size()));
  for (uint64_t offset = 0; offset < file.size(); offset += block.size()) {
    cancel.check();
    const std::span<std::byte> part(block.data(), std::min(kBlockBytes, file.size() - offset));
    file.read_at(offset, part);
    hash.update(part);
  }
  return hash.hex();
}

}  // namespace fluxq

#include "hub/content.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "base/file.h"

namespace fluxq {
namespace {

bool is_sha256(std::string_view hash) { return hash.size() == 64; }

class Digest {
 public:
  explicit Digest(const EVP_MD* kind) : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    check(context_ && EVP_DigestInit_ex(context_.get(), kind, nullptr) == 1);
  }
  void update(std::span<const std::byte> bytes) {
    check(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
  }
  std::string hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
    unsigned size = 0;
    check(EVP_DigestFinal_ex(context_.get(), digest.data(), &size) == 1);
    return fmt::format("{:02x}", fmt::join(digest.begin(), digest.begin() + size, ""));
  }

 private:
  static void check(bool ok) {
    if (!ok) fail(ErrorCode::internal, "OpenSSL failed in a hash");
  }

  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

}  // namespace

std::string_view hash_name(std::string_view hash) {
  return is_sha256(hash) ? "SHA-256" : "git SHA-1";
}

std::string hash_file(const std::filesystem::path& path, std::string_view like,
                      const CancelToken& cancel, const std::function<void(uint64_t)>& on_bytes) {
  constexpr uint64_t kBlockBytes = 1 << 20;
  const InputFile file(path);
  Digest digest(is_sha256(like) ? EVP_sha256() : EVP_sha1());
  if (!is_sha256(like)) {
    const std::string head = fmt::format("blob {}", file.size());
    digest.update(std::as_bytes(std::span(head.c_str(), head.size() + 1)));
  }
  std::vector<std::byte> block(std::min(kBlockBytes, file.size()));
  for (uint64_t offset = 0; offset < file.size(); offset += block.size()) {
    cancel.check();
    const std::span<std::byte> part(block.data(), std::min(kBlockBytes, file.size() - offset));
    file.read_at(offset, part);
    digest.update(part);
    if (on_bytes) on_bytes(offset + part.size());
  }
  return digest.hex();
}

}  // namespace fluxq

#include "checkpoint/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>

#include "base/text.h"

namespace fluxq {

static_assert(std::endian::native == std::endian::little, "safetensors data are little-endian");

SafetensorsFile::SafetensorsFile(InputFile file, uint64_t max_header_bytes)
    : file_(std::move(file)) {
  const std::string where = path().string();
  constexpr uint64_t kSmallest = kSafetensorsPrefixBytes + 2;  // with the header "{}"
  if (file_.size() < kSmallest)
    fail(ErrorCode::corrupt_file, "{}: expected a safetensors file of at least {} bytes, got {}",
         where, kSmallest, file_.size());
  std::array<std::byte, kSafetensorsPrefixBytes> prefix;
  file_.read_at(0, prefix);
  const auto header_bytes = std::bit_cast<uint64_t>(prefix);
  const uint64_t rest = file_.size() - kSafetensorsPrefixBytes;
  if (header_bytes < 2 || header_bytes > rest)
    fail(ErrorCode::corrupt_file,
         "{}: expected a safetensors file with a header of 2 to {} bytes, got a length of {}",
         where, rest, header_bytes);
  const uint64_t limit = std::min(max_header_bytes, kFormatMaxHeaderBytes);
  if (header_bytes > limit)
    fail(ErrorCode::corrupt_file, "{}: expected a header of at most {} bytes, got {}", where, limit,
         header_bytes);
  std::string text(header_bytes, '\0');
  file_.read_at(kSafetensorsPrefixBytes, std::as_writable_bytes(std::span(text)));
  data_start_ = kSafetensorsPrefixBytes + header_bytes;
  header_ = parse_safetensors_header(text, file_.size() - data_start_, where);
}

const TensorEntry* SafetensorsFile::find(std::string_view name) const {
  const auto found = header_.tensors.find(name);
  return found == header_.tensors.end() ? nullptr : &found->second;
}

Tensor SafetensorsFile::read(std::string_view name, const CancelToken& cancel) const {
  constexpr size_t kBlockBytes = 16 << 20;
  const TensorEntry* entry = find(name);
  if (entry == nullptr)
    fail(ErrorCode::not_found, "{}: no tensor {}", path().string(), in_quotes(name));
  Tensor tensor = Tensor::on_host(entry->dtype, entry->shape);
  const std::span<std::byte> bytes(static_cast<std::byte*>(tensor.raw()), entry->bytes);
  for (size_t done = 0; done < bytes.size(); done += kBlockBytes) {
    cancel.check();
    file_.read_at(data_start_ + entry->offset + done,
                  bytes.subspan(done, std::min(kBlockBytes, bytes.size() - done)));
  }
  // Any other byte in a bool would be undefined behaviour for who uses it.
  if (entry->dtype == DType::boolean &&
      std::any_of(bytes.begin(), bytes.end(), [](std::byte b) { return b > std::byte{1}; }))
    fail(ErrorCode::corrupt_file, "{}: tensor {}: expected BOOL bytes of 0 or 1, got others",
         path().string(), in_quotes(name));
  return tensor;
}

}  // namespace fluxq

#include "target.h"

#include <stdlib.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "base/error.h"

namespace fluxq::fuzz {

Scratch::Scratch() {
  std::error_code none;
  std::string name = std::filesystem::is_directory("/dev/shm", none) ? "/dev/shm" : "/tmp";
  name += "/fluxq_fuzz_XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) std::abort();
  path_ = name;
}

Scratch::~Scratch() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::filesystem::path Scratch::put(const char* name, std::string_view bytes) const {
  const std::filesystem::path file = path_ / name;
  if (bytes.data() == nullptr) {
    std::error_code ignored;
    std::filesystem::remove(file, ignored);
    return file;
  }
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  out.close();
  if (!out) std::abort();
  return file;
}

std::vector<std::string_view> split(std::string_view input, size_t count) {
  constexpr std::string_view kSeparator = "\n%%\n";
  std::vector<std::string_view> parts(count);
  for (size_t i = 0; i < count && input.data() != nullptr; ++i) {
    const size_t end = i + 1 < count ? input.find(kSeparator) : input.npos;
    parts[i] = input.substr(0, end);
    input = end == input.npos ? std::string_view() : input.substr(end + kSeparator.size());
  }
  return parts;
}

void expect(bool holds, const char* property) {
  if (holds) return;
  std::fprintf(stderr, "the reader broke its promise: %s\n", property);
  std::abort();
}

}  // namespace fluxq::fuzz

// What libFuzzer calls, or standalone.cc in its place.

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using fluxq::ErrorCode;
  try {
    // A copy of exact size, so that a read beyond its end is seen.
    const std::string input(reinterpret_cast<const char*>(data), size);
    fluxq::fuzz::read(input);
  } catch (const fluxq::Error& error) {
    fluxq::fuzz::expect(error.what()[0] != '\0', "an error has a sentence");
    fluxq::fuzz::expect(
        error.code() != ErrorCode::internal && error.code() != ErrorCode::out_of_memory_host,
        "the error is the input's");
  }
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed) {
  size = LLVMFuzzerMutate(data, size, max_size);
  if (seed % 8 == 0) return size;  // some stay as broken as they are
  const std::string fixed =
      fluxq::fuzz::repaired(std::string(reinterpret_cast<const char*>(data), size));
  if (fixed.empty() || fixed.size() > max_size) return size;
  std::memcpy(data, fixed.data(), fixed.size());
  return fixed.size();
}

// The property that robustness rests on: for any bytes the reader returns or throws Error, nothing
// else, within memory in proportion to the file. Thousands of seeded mutations of valid files;
// under ASan and UBSan in the asan preset.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <random>

#include "checkpoint/safetensors.h"
#include "checkpoint/shard_index.h"
#include "checkpoint/test_files.h"

namespace fluxq {
namespace {

constexpr std::string_view kHeader =
    R"({"__metadata__":{"format":"pt"},"a.weight":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},)"
    R"("b":{"dtype":"F32","shape":[],"data_offsets":[12,16]},"\u00e9":{"dtype":"BOOL","shape":[4],)"
    R"("data_offsets":[16,20]},"z":{"dtype":"I64","shape":[0,7],"data_offsets":[20,20]}}  )";

#ifdef FLUXQ_SANITIZED
constexpr bool kSanitized = true;  // ASan keeps freed memory for a while
#else
constexpr bool kSanitized = false;
#endif

// Snippets that are likelier than noise to get past the first checks.
constexpr std::string_view kPieces[] = {"0",
                                        "1",
                                        "-1",
                                        "2.0",
                                        "1e400",
                                        "18446744073709551615",
                                        "9223372036854775808",
                                        "null",
                                        "{}",
                                        "[]",
                                        "[[[[[[",
                                        "\"",
                                        "\\u0000",
                                        "\\ud800",
                                        ",",
                                        ":",
                                        "}",
                                        "]",
                                        "BF16",
                                        "data_offsets",
                                        "__metadata__",
                                        "\xFF",
                                        "b\":",
                                        "shape",
                                        "{\"a\":",
                                        " "};

class Mutator {
 public:
  explicit Mutator(uint64_t seed) : random_(seed) {}

  size_t below(size_t end) { return std::uniform_int_distribution<size_t>(0, end - 1)(random_); }

  std::string mutate(std::string text) {
    for (size_t count = 1 + below(3); count > 0; --count) {
      const size_t at = below(text.size() + 1);
      const size_t length = std::min(below(12), text.size() - at);
      switch (below(6)) {
        case 0:
          if (at < text.size()) text[at] = static_cast<char>(text[at] ^ (1 << below(8)));
          break;
        case 1:
          text.resize(at);
          break;
        case 2:
          text.erase(at, length);
          break;
        case 3:
          text.insert(at, text.substr(below(text.size() + 1), below(40)));
          break;
        case 4:
          text.replace(at, length, kPieces[below(std::size(kPieces))]);
          break;
        default:
          if (at < text.size()) text[at] = static_cast<char>(below(256));
      }
    }
    return text;
  }

 private:
  std::mt19937_64 random_;
};

// Returns whether it was accepted; any exception but Error gets out and fails the test.
template <typename Body>
bool accepts(Body body) {
  try {
    body();
    return true;
  } catch (const Error& error) {
    EXPECT_TRUE(error.code() == ErrorCode::corrupt_file || error.code() == ErrorCode::unsupported)
        << error.what();
    return false;
  }
}

uint64_t peak_bytes() {
  struct rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

TEST(SafetensorsFuzz, HeadersGiveEntriesOrError) {
  const uint64_t before = peak_bytes();
  Mutator mutator(1);
  int accepted = 0;
  for (int i = 0; i < 20000; ++i) {
    const std::string text = mutator.mutate(std::string(kHeader));
    const uint64_t data_bytes = i % 2 == 0 ? 20 : mutator.below(40);
    accepted += accepts([&] {
      const SafetensorsHeader header = parse_safetensors_header(text, data_bytes, "file");
      uint64_t covered = 0;
      for (const auto& [name, entry] : header.tensors) {
        EXPECT_EQ(entry.bytes,
                  static_cast<uint64_t>(element_count(entry.shape) * dtype_bytes(entry.dtype)));
        covered += entry.bytes;
      }
      EXPECT_EQ(covered, data_bytes);
    });
  }
  // Both outcomes are met, or the mutations are too wild or too tame to show anything.
  EXPECT_GT(accepted, 100);
  EXPECT_LT(accepted, 10000);
  if (!kSanitized) {
    EXPECT_LT(peak_bytes() - before, uint64_t{32} << 20);
  }
}

TEST(SafetensorsFuzz, FilesGiveTensorsOrError) {
  const TempFolder folder;
  const std::string data("0123456789abcdef\0\1\0\1", 20);
  const std::string valid = safetensors_bytes(kHeader, data);
  Mutator mutator(2);
  int accepted = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string bytes = mutator.mutate(valid);
    if (i % 2 == 0 && bytes.size() >= 8 + data.size())  // repair the length, to get further
      bytes.replace(0, 8, length_prefix(bytes.size() - 8 - data.size()));
    write_test_file(folder / "f", bytes);
    accepted += accepts([&] {
      const SafetensorsFile file(folder / "f");
      for (const auto& [name, entry] : file.entries()) static_cast<void>(file.read(name));
    });
  }
  EXPECT_GT(accepted, 10);
  EXPECT_LT(accepted, 2000);
}

TEST(SafetensorsFuzz, ShardIndexesGiveAMapOrError) {
  const std::string valid =
      R"({"metadata":{"total_size":12},"weight_map":{"x":"a.safetensors","y":"b.safetensors"}})";
  Mutator mutator(3);
  int accepted = 0;
  for (int i = 0; i < 10000; ++i) {
    const std::string text = mutator.mutate(valid);
    accepted += accepts([&] {
      for (const auto& [tensor, file] : parse_shard_index(text, "index").weight_map) {
        EXPECT_EQ(file.find('/'), file.npos);
        EXPECT_TRUE(file.ends_with(".safetensors"));
      }
    });
  }
  EXPECT_GT(accepted, 100);
  EXPECT_LT(accepted, 8000);
}

}  // namespace
}  // namespace fluxq

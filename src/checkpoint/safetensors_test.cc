#include "checkpoint/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>

#include "checkpoint/test_files.h"

namespace fluxq {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kTwoBytes = R"({"t":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})";

TEST(SafetensorsFile, ReadsTensorsWhateverTheirAlignment) {
  const TempFolder folder;
  const float values[] = {1.5f, -2.0f};
  std::string data = "x";
  data.append(reinterpret_cast<const char*>(values), sizeof values);
  write_safetensors(
      folder / "f",
      R"({"__metadata__":{"k":"v"},"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]},)"
      R"("t":{"dtype":"F32","shape":[2,1],"data_offsets":[1,9]}})",
      data);
  const SafetensorsFile file(folder / "f");
  EXPECT_EQ(file.entries().size(), 2u);
  EXPECT_EQ(file.metadata().at("k"), "v");
  EXPECT_EQ(file.data_bytes(), 9u);
  EXPECT_EQ(file.find("gone"), nullptr);
  ASSERT_NE(file.find("t"), nullptr);
  const Tensor t = file.read("t");
  EXPECT_EQ(t.shape(), (Shape{2, 1}));
  EXPECT_EQ(to_floats(t), (std::vector<float>{1.5f, -2.0f}));
  EXPECT_EQ(*static_cast<const char*>(file.read("a").raw()), 'x');
  EXPECT_FLUXQ_ERROR(file.read("gone"), not_found, "no tensor \"gone\"");
  CancelToken cancel;
  cancel.request();
  EXPECT_FLUXQ_ERROR(file.read("t", cancel), cancelled, "");
}

TEST(SafetensorsFile, EmptyTensorsAndFilesAreFine) {
  const TempFolder folder;
  write_safetensors(folder / "f", R"({"t":{"dtype":"F32","shape":[3,0],"data_offsets":[0,0]}})",
                    "");
  EXPECT_EQ(SafetensorsFile(folder / "f").read("t").elements(), 0);
  write_safetensors(folder / "f", "{}", "");
  EXPECT_TRUE(SafetensorsFile(folder / "f").entries().empty());
}

TEST(SafetensorsFile, ContainersThatLieAreRefused) {
  const uint64_t two_to_63 = uint64_t{1} << 63;
  const std::string header(kTwoBytes);
  const struct {
    std::string bytes, message;
  } cases[] = {
      {"", "at least 10 bytes, got 0"},
      {"1234567", "at least 10 bytes, got 7"},
      {length_prefix(0), "at least 10 bytes, got 8"},
      {length_prefix(0) + "{}", "got a length of 0"},
      {length_prefix(1) + "{}", "got a length of 1"},
      {length_prefix(3) + "{}", "got a length of 3"},
      {length_prefix(two_to_63) + "{}", "got a length of 9223372036854775808"},
      {length_prefix(UINT64_MAX) + "{}", "got a length of 18446744073709551615"},
      {length_prefix(UINT64_MAX - 7) + "{}", "got a length of"},  // plus 8 wraps to 0
      {length_prefix(header.size()) + header.substr(0, 20), "got a length of"},
      {length_prefix(header.size()) + header + "x", "file cut short?"},
      {length_prefix(header.size()) + header + "xyz", "trailing bytes"},
      {length_prefix(header.size() - 1) + header + "xy", "bad JSON"},
      {length_prefix(header.size() + 1) + header + "xy", "bad JSON"},
      {"PK\x03\x04 not a tensor file", "got a length of"},
      {std::string(4096, '\0'), "got a length of 0"},
  };
  const TempFolder folder;
  for (const auto& bad : cases) {
    SCOPED_TRACE(bad.message);
    write_test_file(folder / "f", bad.bytes);
    EXPECT_FLUXQ_ERROR(SafetensorsFile(folder / "f"), corrupt_file, bad.message);
    EXPECT_FLUXQ_ERROR(SafetensorsFile(folder / "f"), corrupt_file, (folder / "f").string());
  }
}

TEST(SafetensorsFile, TheHeaderLimitHoldsAndCanBeRaised) {
  const TempFolder folder;
  const uint64_t limit = kDefaultMaxHeaderBytes;
  const std::string fits = "{}" + std::string(limit - 2, ' ');
  write_safetensors(folder / "f", fits, "");
  EXPECT_NO_THROW(SafetensorsFile(folder / "f"));
  write_safetensors(folder / "f", fits + " ", "");
  EXPECT_FLUXQ_ERROR(SafetensorsFile(folder / "f"), corrupt_file,
                     "header of at most 16777216 bytes, got 16777217");
  EXPECT_NO_THROW(SafetensorsFile(folder / "f", limit + 1));
  // A file of holes stands for 100 MB of header: refused by its length, not read.
  write_test_file(folder / "g", length_prefix(kFormatMaxHeaderBytes + 1));
  fs::resize_file(folder / "g", kFormatMaxHeaderBytes + 100);
  EXPECT_FLUXQ_ERROR(SafetensorsFile(folder / "g", UINT64_MAX), corrupt_file,
                     "header of at most 100000000 bytes");
}

TEST(SafetensorsFile, AFileThatShrinksAfterOpeningIsAnError) {
  const TempFolder folder;
  write_safetensors(folder / "f", kTwoBytes, "xy");
  const SafetensorsFile file(folder / "f");
  fs::resize_file(folder / "f", fs::file_size(folder / "f") - 1);
  EXPECT_FLUXQ_ERROR(file.read("t"), corrupt_file, "file shrank");
}

TEST(SafetensorsFile, BoolsMustBeZeroOrOneWhenRead) {
  const TempFolder folder;
  const std::string_view header = R"({"t":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}})";
  write_safetensors(folder / "f", header, std::string("\0\1", 2));
  EXPECT_EQ(SafetensorsFile(folder / "f").read("t").elements(), 2);
  write_safetensors(folder / "f", header, std::string("\0\2", 2));
  const SafetensorsFile file(folder / "f");
  EXPECT_FLUXQ_ERROR(file.read("t"), corrupt_file, "BOOL bytes of 0 or 1");
}

TEST(SafetensorsFile, ReadsBeyondFourGigabytes) {
  const TempFolder folder;
  const uint64_t big = (uint64_t{1} << 32) + 4;
  const std::string header =
      fmt::format(R"({{"big":{{"dtype":"U8","shape":[{0}],"data_offsets":[0,{0}]}},)"
                  R"("t":{{"dtype":"I32","shape":[],"data_offsets":[{0},{1}]}}}})",
                  big, big + 4);
  write_safetensors(folder / "f", header, "");
  fs::resize_file(folder / "f", 8 + header.size() + big + 4);  // holes
  EXPECT_EQ(SafetensorsFile(folder / "f").read("t").data<int32_t>()[0], 0);
}

TEST(SafetensorsFile, OnlyRegularFilesAreRead) {
  const TempFolder folder;
  EXPECT_FLUXQ_ERROR(SafetensorsFile("/dev/zero"), bad_argument, "got a device");
  EXPECT_FLUXQ_ERROR(SafetensorsFile(folder.path()), bad_argument, "got a folder");
  EXPECT_FLUXQ_ERROR(SafetensorsFile(folder / "gone"), not_found, "gone");
}

}  // namespace
}  // namespace fluxq

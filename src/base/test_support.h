/// For tests of all rooms: a folder that goes away, small files, and an assertion on Error.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/error.h"

namespace fluxq {

/// An empty folder, removed with its contents at the end.
class TempFolder {
 public:
  TempFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "fluxq_test_XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot create " + name);
    path_ = name;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

/// Writes a small file the quick way (no fsync).
inline void write_test_file(const std::filesystem::path& path, std::string_view bytes) {
  std::filesystem::remove(path);  // ext4 flushes a file that is truncated and written again
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file) throw std::runtime_error("cannot write " + path.string());
}

}  // namespace fluxq

/// The statement throws fluxq::Error with this code (written without ErrorCode::) and a message
/// that contains `part`. Anything else fails, other exceptions too.
#define EXPECT_FLUXQ_ERROR(statement, error_code, part)                                          \
  try {                                                                                          \
    static_cast<void>(statement);                                                                \
    ADD_FAILURE() << "expected Error(" #error_code "), got none from " #statement;               \
  } catch (const ::fluxq::Error& error) {                                                        \
    EXPECT_EQ(::fluxq::error_info(error.code()).name, #error_code) << error.what();              \
    EXPECT_THAT(error.what(), ::testing::HasSubstr(part));                                       \
  } catch (const std::exception& error) {                                                        \
    ADD_FAILURE() << "expected Error(" #error_code "), got another exception: " << error.what(); \
  }                                                                                              \
  static_assert(true, "a semicolon must follow")

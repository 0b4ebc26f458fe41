#include "base/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/test_support.h"

namespace fluxq {
namespace {

namespace fs = std::filesystem;

std::string bytes_at(const InputFile& file, uint64_t offset, size_t count) {
  std::string out(count, '?');
  file.read_at(offset, std::as_writable_bytes(std::span(out)));
  return out;
}

size_t files_in(const TempFolder& folder) {
  return static_cast<size_t>(
      std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()));
}

TEST(InputFile, ReadsAnyPart) {
  const TempFolder folder;
  atomic_write(folder / "f", "0123456789");
  const InputFile file(folder / "f");
  EXPECT_EQ(file.size(), 10u);
  EXPECT_EQ(file.link_count(), 1u);
  EXPECT_EQ(bytes_at(file, 0, 10), "0123456789");
  EXPECT_EQ(bytes_at(file, 9, 1), "9");
  EXPECT_EQ(bytes_at(file, 10, 0), "");
  EXPECT_EQ(bytes_at(file, 99, 0), "");
}

TEST(InputFile, AFileThatShrinksIsAnError) {
  const TempFolder folder;
  atomic_write(folder / "f", "0123456789");
  const InputFile file(folder / "f");
  EXPECT_FLUXQ_ERROR(bytes_at(file, 5, 6), corrupt_file, "file shrank");
  fs::resize_file(folder / "f", 4);
  EXPECT_FLUXQ_ERROR(bytes_at(file, 0, 10), corrupt_file,
                     "file shrank: expected 6 bytes more at byte 4");
}

TEST(InputFile, ReadsBeyondFourGigabytes) {
  const TempFolder folder;
  const uint64_t offset = (uint64_t{1} << 32) + 5;
  atomic_write(folder / "f", "");
  fs::resize_file(folder / "f", offset + 3);  // a hole, no blocks on disk
  EXPECT_EQ(bytes_at(InputFile(folder / "f"), offset, 3), std::string(3, '\0'));
}

TEST(InputFile, OnlyRegularFilesAreOpened) {
  const TempFolder folder;
  ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
  EXPECT_FLUXQ_ERROR(InputFile(folder / "fifo"), bad_argument, "got a fifo");
  EXPECT_FLUXQ_ERROR(InputFile(folder.path()), bad_argument, "got a folder");
  EXPECT_FLUXQ_ERROR(InputFile("/dev/zero"), bad_argument, "got a device");
  EXPECT_FLUXQ_ERROR(InputFile(folder / "gone"), not_found, "gone");
  EXPECT_FLUXQ_ERROR(InputFile(""), not_found, "cannot open");
  fs::create_symlink("loop_b", folder / "loop_a");
  fs::create_symlink("loop_a", folder / "loop_b");
  EXPECT_FLUXQ_ERROR(InputFile(folder / "loop_a"), io, "symbolic links");
}

TEST(InputFile, LinksAreFollowedUnlessRefused) {
  const TempFolder folder;
  atomic_write(folder / "f", "x");
  fs::create_symlink("f", folder / "link");
  fs::create_hard_link(folder / "f", folder / "hard");
  EXPECT_EQ(InputFile(folder / "link").size(), 1u);
  EXPECT_EQ(InputFile(folder / "hard").link_count(), 2u);
  EXPECT_FLUXQ_ERROR(InputFile(folder / "link", InputFile::Links::refuse), io, "got a link");
}

TEST(InputFile, WithoutPermissionItIsAnError) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read everything";
  const TempFolder folder;
  atomic_write(folder / "f", "x");
  ::chmod((folder / "f").c_str(), 0);
  EXPECT_FLUXQ_ERROR(InputFile(folder / "f"), io, "Permission denied");
}

TEST(ReadTextFile, TakesUpToTheLimit) {
  const TempFolder folder;
  const std::string text("a\0\xFF", 3);
  atomic_write(folder / "f", text);
  EXPECT_EQ(read_text_file(folder / "f", 3), text);
  EXPECT_FLUXQ_ERROR(read_text_file(folder / "f", 2), corrupt_file,
                     "expected at most 2 bytes, got 3");
}

TEST(AtomicFile, AppearsOnlyWhenCommitted) {
  const TempFolder folder;
  atomic_write(folder / "f", "old");
  {
    AtomicFile file(folder / "f");
    file.write("new ");
    file.write("text");
    EXPECT_EQ(read_text_file(folder / "f", 99), "old");
    file.commit();
    EXPECT_EQ(read_text_file(folder / "f", 99), "new text");
  }
  EXPECT_EQ(read_text_file(folder / "f", 99), "new text");
  EXPECT_EQ(files_in(folder), 1u);
}

TEST(AtomicFile, IsWrittenInAnyOrder) {
  const TempFolder folder;
  AtomicFile file(folder / "f");
  file.write_at(4, std::as_bytes(std::span("cd", 2)));
  file.write("ab");
  file.commit();
  EXPECT_EQ(read_text_file(folder / "f", 99), std::string("ab\0\0cd", 6));
}

TEST(AtomicFile, LeavesNothingWhenDropped) {
  const TempFolder folder;
  {
    AtomicFile first(folder / "f");
    AtomicFile second(folder / "f");
    first.write("half");
    AtomicFile moved(std::move(first));
    moved.write("more");
    EXPECT_EQ(files_in(folder), 2u);
  }
  EXPECT_EQ(files_in(folder), 0u);
}

TEST(AtomicFile, NeverReplacesWhatIsNoFile) {
  const TempFolder folder;
  EXPECT_FLUXQ_ERROR(AtomicFile(folder.path()), bad_argument, "got a folder");
  EXPECT_FLUXQ_ERROR(AtomicFile(folder / "sub/"), bad_argument, "expected a file name");
  EXPECT_FLUXQ_ERROR(AtomicFile("/dev/full"), bad_argument, "got a device");
  EXPECT_FLUXQ_ERROR(AtomicFile(folder / "gone" / "f"), not_found, "cannot create");
  atomic_write(folder / "file", "");
  EXPECT_FLUXQ_ERROR(AtomicFile(folder / "file" / "f"), io, "Not a directory");
}

// A file size limit stands for a full disk: the same errno path, without a file system of our own.
TEST(AtomicFile, AFullDiskSaysSoAndLeavesTheOldFile) {
  const TempFolder folder;
  atomic_write(folder / "f", "old");
  const auto old_handler = ::signal(SIGXFSZ, SIG_IGN);
  struct rlimit old_limit = {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old_limit), 0);
  struct rlimit limit = old_limit;
  limit.rlim_cur = 1000;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  EXPECT_FLUXQ_ERROR(atomic_write(folder / "f", std::string(1500, 'x')), disk_full,
                     "cannot write 500 bytes at byte 1000 of " + (folder / "f").string());
  ::setrlimit(RLIMIT_FSIZE, &old_limit);
  ::signal(SIGXFSZ, old_handler);
  EXPECT_EQ(read_text_file(folder / "f", 99), "old");
  EXPECT_EQ(files_in(folder), 1u);
}

TEST(ListFolder, GivesSortedNames) {
  const TempFolder folder;
  EXPECT_TRUE(list_folder(folder.path()).empty());
  for (const char* name : {"b", "a", ".hidden", "B"}) atomic_write(folder / name, "");
  EXPECT_EQ(list_folder(folder.path()), (std::vector<std::string>{".hidden", "B", "a", "b"}));
  EXPECT_FLUXQ_ERROR(list_folder(folder / "gone"), not_found, "gone");
  EXPECT_FLUXQ_ERROR(list_folder(folder / "a"), io, "Not a directory");
}

TEST(AvailableDiskBytes, LooksAtTheNearestFolderThatExists) {
  const TempFolder folder;
  EXPECT_GT(available_disk_bytes(folder.path()), 0u);
  EXPECT_GT(available_disk_bytes(folder / "not" / "yet"), 0u);
  EXPECT_GT(available_disk_bytes("relative_name_that_is_not_there"), 0u);
}

}  // namespace
}  // namespace fluxq

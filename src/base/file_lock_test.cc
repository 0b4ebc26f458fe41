#include "base/file_lock.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/test_support.h"

namespace fluxq {
namespace {

TEST(FileLock, TheSecondHolderIsToldWhoTheFirstIs) {
  const TempFolder folder;
  {
    const FileLock lock(folder / "lock");
    EXPECT_FLUXQ_ERROR(FileLock(folder / "lock"), io,
                       fmt::format("in use by process {}", getpid()));
    EXPECT_EQ(FileLock::try_lock(folder / "lock"), nullptr);
    EXPECT_NE(FileLock::try_lock(folder / "other"), nullptr);
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "lock"));
  const FileLock again(folder / "lock");
}

TEST(FileLock, ExcludesOtherProcessesAndIsTakenOverFromADeadOne) {
  const TempFolder folder;
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const FileLock lock(folder / "lock");
    static_cast<void>(::write(ready[1], "x", 1));
    for (;;) ::pause();
  }
  char byte;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  EXPECT_FLUXQ_ERROR(FileLock(folder / "lock"), io, fmt::format("in use by process {}", child));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(std::filesystem::exists(folder / "lock"));
  const FileLock lock(folder / "lock");
  EXPECT_EQ(read_text_file(folder / "lock", 99), fmt::format("{}\n", getpid()));
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST(FileLock, AFolderThatIsMissingOrALinkIsAnError) {
  const TempFolder folder;
  EXPECT_FLUXQ_ERROR(FileLock(folder / "gone" / "lock"), not_found, "cannot create");
  atomic_write(folder / "precious", "data");
  std::filesystem::create_symlink("precious", folder / "lock");
  EXPECT_FLUXQ_ERROR(FileLock(folder / "lock"), io, "cannot create");
  EXPECT_EQ(read_text_file(folder / "precious", 99), "data");
}

}  // namespace
}  // namespace fluxq

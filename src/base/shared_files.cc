#include "base/shared_files.h"

namespace fluxq {

namespace fs = std::filesystem;

std::vector<fs::path> shared_folders() {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (error) return {};
  const fs::path above = program.parent_path().parent_path();
  return {above / "share/fluxq", above.parent_path(), above.parent_path().parent_path()};
}

}  // namespace fluxq

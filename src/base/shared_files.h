/// Where fluxq's own data lies: models/, recipes/, prompts/.
#pragma once

#include <filesystem>
#include <vector>

namespace fluxq {

/// Folders to look in, in this order: beside the installed program (<prefix>/bin/fluxq:
/// <prefix>/share/fluxq), and above a program in a build tree (<source>/build/<preset>/fluxq, and
/// its tests one folder deeper: <source>). They need not exist.
std::vector<std::filesystem::path> shared_folders();

}  // namespace fluxq

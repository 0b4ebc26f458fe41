#pragma once

#include <string_view>

namespace fluxq {

/// "0.1.0": semantic versioning of the library, the command line and the files that they write.
std::string_view version();

}  // namespace fluxq

#include "fluxq/version.h"

namespace fluxq {

std::string_view version() { return FLUXQ_VERSION; }

}  // namespace fluxq

/// Who the Hub takes us for, and what we may read there.
#pragma once

#include <string>

#include "hub/listing.h"

namespace fluxq {

/// The name of the account that the token belongs to. Error(network) if the Hub does not accept it.
std::string account_name(HttpClient& client, const HubAccess& access);

/// Returns if the files of `name` may be read; otherwise the errors of fail_access().
void check_readable(HttpClient& client, const HubAccess& access, const HubName& name);

}  // namespace fluxq

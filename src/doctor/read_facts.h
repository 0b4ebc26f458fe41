/// Looks at this machine.
#pragma once

#include <string>

#include "doctor/facts.h"
#include "fluxq/cancel.h"

namespace fluxq {

struct DoctorOptions {
  /// A folder, a name that find_model() knows, or "org/name" on the Hub.
  std::string model = "black-forest-labs/FLUX.1-schnell";
  bool online = false;  ///< ask the Hub whether the token may read the model
};

/// What is missing or broken becomes part of the facts. Error(bad_argument) for a model that is
/// neither here nor has the form of a name; cancelled.
MachineFacts read_facts(const DoctorOptions& options, const CancelToken& cancel);

}  // namespace fluxq

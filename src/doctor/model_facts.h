/// What a model needs, from its configs if it is here, else from FLUX.1's own architecture.
#pragma once

#include "doctor/facts.h"

namespace fluxq {

/// `name`: as DoctorOptions::model. Error(bad_argument) if it is neither here nor "org/name".
ModelFacts read_model_facts(const std::string& name);

}  // namespace fluxq

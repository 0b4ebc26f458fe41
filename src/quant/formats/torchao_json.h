/// How torchao writes its objects as JSON: {"_type": ..., "_data": ...}.
#pragma once

#include "quant/torchao_format.h"

namespace fluxq::torchao {

/// An object of the class `type` with these fields.
inline Json object(std::string_view type, Json data) {
  return {{"_type", type}, {"_data", std::move(data)}};
}
/// In config.json classes carry a version.
inline Json versioned(std::string_view type, int version, Json data) {
  return {{"_type", type}, {"_version", version}, {"_data", std::move(data)}};
}
inline Json dtype(std::string_view name) { return object("torch.dtype", name); }

/// What both fp8 schemes store: a Float8Tensor, as Float8DynamicActivationFloat8WeightConfig makes
/// it, of this granularity ("PerRow" or "PerTensor", with its fields) and this block of one scale.
StoredForm float8_form(std::string_view granularity, const Json& fields, const Json& block);

}  // namespace fluxq::torchao

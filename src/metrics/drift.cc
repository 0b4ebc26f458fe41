#include "metrics/drift.h"

#include <cmath>

#include "base/error.h"

namespace fluxq {

double relative_drift(std::span<const float> value, std::span<const float> reference) {
  if (value.size() != reference.size() || value.empty())
    fail(ErrorCode::bad_argument,
         "latent drift: expected latents of one size, got {} and {} values", value.size(),
         reference.size());
  double distance = 0, norm = 0;
  for (size_t i = 0; i < value.size(); ++i) {
    const double v = value[i], r = reference[i];
    if (!std::isfinite(v) || !std::isfinite(r))
      fail(ErrorCode::numeric, "latent drift: expected finite latents, got {} and {} at index {}",
           v, r, i);
    distance += (v - r) * (v - r);
    norm += r * r;
  }
  if (distance == 0) return 0;
  if (norm == 0)
    fail(ErrorCode::numeric, "latent drift: the reference latents are zero throughout");
  return std::sqrt(distance) / std::sqrt(norm);
}

}  // namespace fluxq

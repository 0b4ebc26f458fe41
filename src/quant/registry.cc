/// The table of schemes: adding one is a folder that defines `const Scheme& NAME_scheme()` and its
/// line here.
#include <array>

#include "quant/scheme.h"

// In the order of documents.
// clang-format off
#define FLUXQ_SCHEMES(scheme) \
  scheme(f32)      \
  scheme(bf16)     \
  scheme(fp8dqrow) \
  scheme(fp8dq)    \
  scheme(int8dq)   \
  scheme(int8wo)   \
  scheme(int4wo)   \
  scheme(sparse24_int8dq) \
  // end of the table
// clang-format on

namespace fluxq {

#define FLUXQ_DECLARE(name) const Scheme& name##_scheme();
FLUXQ_SCHEMES(FLUXQ_DECLARE)

std::span<const Scheme* const> all_schemes() {
#define FLUXQ_ENTRY(name) &name##_scheme(),
  static const std::array table = {FLUXQ_SCHEMES(FLUXQ_ENTRY)};
  return table;
}

}  // namespace fluxq

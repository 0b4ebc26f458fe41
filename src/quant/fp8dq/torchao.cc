#include "quant/formats/torchao_json.h"
#include "quant/fp8dq/layout.h"

namespace fluxq {

StoredForm Fp8DqScheme::stored_form(int64_t out, int64_t in) const {
  return torchao::float8_form("PerTensor", Json::object(), Json::array({out, in}));
}

}  // namespace fluxq

#include "quant/formats/torchao_json.h"
#include "quant/fp8dqrow/layout.h"

namespace fluxq {

StoredForm Fp8DqRowScheme::stored_form(int64_t /*out*/, int64_t in) const {
  return torchao::float8_form("PerRow", {{"dim", -1}}, Json::array({1, in}));
}

}  // namespace fluxq

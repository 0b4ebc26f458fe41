#include "quant/formats/torchao_json.h"
#include "quant/int8wo/layout.h"

namespace fluxq {

StoredForm Int8WoScheme::stored_form(int64_t /*out*/, int64_t in) const {
  return {
      .type = "Int8Tensor",
      .data = int8_tensor(in, nullptr),
      .config = torchao::versioned("Int8WeightOnlyConfig", 2,
                                   {{"group_size", nullptr},
                                    {"granularity", torchao::versioned("PerRow", 1, {{"dim", -1}})},
                                    {"set_inductor_config", true}}),
  };
}

}  // namespace fluxq

#include "quant/formats/s4.h"
#include "quant/formats/torchao_json.h"
#include "quant/int4wo/layout.h"

namespace fluxq {

StoredForm Int4WoScheme::stored_form(int64_t out, int64_t in) const {
  return {
      .type = "Int4Tensor",
      .data = {{"activation_dtype", torchao::dtype("bfloat16")},
               {"block_size", Json::array({1, kS4Group})},
               {"shape", Json::array({out, in})}},
      .config = torchao::versioned(
          "Int4WeightOnlyConfig", 2,
          {{"group_size", kS4Group},
           {"set_inductor_config", true},
           {"int4_packing_format", torchao::object("Int4PackingFormat", "PLAIN")},
           {"int4_choose_qparams_algorithm",
            torchao::object("Int4ChooseQParamsAlgorithm", "TINYGEMM")},
           {"int4_tile_packed_ntile", 8}}),
  };
}

}  // namespace fluxq

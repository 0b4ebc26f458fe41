#include "quant/formats/torchao_json.h"
#include "quant/int8dq/layout.h"

namespace fluxq {

StoredForm Int8DqScheme::stored_form(int64_t /*out*/, int64_t in) const {
  const Json symmetric = torchao::object("MappingType", "SYMMETRIC");
  const Json last_dim = {{"dim", -1}};
  return {
      .type = "Int8Tensor",
      .data = int8_tensor(in, torchao::object("QuantizeTensorToInt8Kwargs",
                                              {{"granularity", torchao::object("PerRow", last_dim)},
                                               {"mapping_type", symmetric},
                                               {"reduce_range", false}})),
      .config = torchao::versioned("Int8DynamicActivationInt8WeightConfig", 2,
                                   {{"act_mapping_type", symmetric},
                                    {"weight_only_decode", false},
                                    {"granularity", torchao::versioned("PerRow", 1, last_dim)},
                                    {"set_inductor_config", true},
                                    {"reduce_range", false}}),
  };
}

}  // namespace fluxq

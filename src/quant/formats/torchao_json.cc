#include "quant/formats/torchao_json.h"

namespace fluxq::torchao {

StoredForm float8_form(std::string_view granularity, const Json& fields, const Json& block) {
  const Json e4m3 = dtype("float8_e4m3fn");
  const Json preference = object("KernelPreference", "AUTO");
  const Json mm_fields = {{"emulate", false}, {"use_fast_accum", true}, {"pad_inner_dim", false}};
  const Json both = versioned(granularity, 1, fields);
  return {
      .type = "Float8Tensor",
      .data = {{"block_size", block},
               {"mm_config", object("Float8MMConfig", mm_fields)},
               {"act_quant_kwargs", object("QuantizeTensorToFloat8Kwargs",
                                           {{"float8_dtype", e4m3},
                                            {"granularity", object(granularity, fields)},
                                            {"mm_config", nullptr},
                                            {"hp_value_lb", nullptr},
                                            {"hp_value_ub", nullptr},
                                            {"kernel_preference", preference}})},
               {"kernel_preference", preference},
               {"dtype", dtype("bfloat16")}},
      .config = versioned("Float8DynamicActivationFloat8WeightConfig", 2,
                          {{"activation_dtype", e4m3},
                           {"weight_dtype", e4m3},
                           {"granularity", Json::array({both, both})},
                           {"packing_format", object("Float8PackingFormat", "PLAIN")},
                           {"mm_config", versioned("Float8MMConfig", 1, mm_fields)},
                           {"activation_value_lb", nullptr},
                           {"activation_value_ub", nullptr},
                           {"kernel_preference", preference},
                           {"set_inductor_config", true},
                           {"alg_id", 0}}),
  };
}

}  // namespace fluxq::torchao

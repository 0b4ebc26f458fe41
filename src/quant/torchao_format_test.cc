#include "quant/torchao_format.h"

#include <algorithm>

#include "base/file.h"
#include "base/test_support.h"

namespace fluxq {
namespace {

const char* const kTorchaoSchemes[] = {"fp8dqrow", "fp8dq", "int8dq", "int8wo", "int4wo"};

const Json& golden() {
  static const Json json = parse_json(
      read_text_file(FLUXQ_SOURCE_DIR "/tests/golden/quant/torchao_header.json", 1 << 20),
      "torchao_header.json");
  return json;
}

// Sorted names: their order says nothing.
Json normalized(Json entry) {
  std::sort(entry["_tensor_data_names"].begin(), entry["_tensor_data_names"].end());
  return entry;
}

StoredWeight find(const Json& entry, int64_t out = 4, int64_t in = 256) {
  const HeaderMetadata metadata = {{"tensor_names", R"(["x.weight"])"}, {"x.weight", entry.dump()}};
  return find_stored_weight(metadata, "x", out, in, "file");
}

class TorchaoForm : public ::testing::TestWithParam<const char*> {};

TEST_P(TorchaoForm, HeaderEntriesAreTorchaos) {
  StoredWeights stored;
  stored.add_weight("x", find_scheme(GetParam()), 4, 256);
  const Json entry = parse_json(stored.metadata().at("x.weight"), "entry");
  EXPECT_EQ(normalized(entry), normalized(golden()[GetParam()]["entry"]));
}

TEST_P(TorchaoForm, ConfigsAreDiffusers) {
  StoredWeights stored;
  stored.add_weight("x", find_scheme(GetParam()), 4, 256);
  EXPECT_EQ(stored.quantization_config(find_scheme(GetParam())), golden()[GetParam()]["config"]);
}

TEST_P(TorchaoForm, EntriesOfTorchaoAreFound) {
  const StoredWeight found = find(golden()[GetParam()]["entry"]);
  EXPECT_EQ(found.scheme, &find_scheme(GetParam()));
  EXPECT_FALSE(found.input_scale);
}

TEST_P(TorchaoForm, HowTorchaoMultipliesMayDiffer) {
  Json entry = golden()[GetParam()]["entry"];
  entry["_data"]["dtype"] = "float16";
  entry["_data"].erase("kernel_preference");
  entry["_data"].erase("mm_config");
  EXPECT_EQ(find(entry).scheme, &find_scheme(GetParam()));
}

TEST_P(TorchaoForm, OtherSettingsAreRefusedByName) {
  Json entry = golden()[GetParam()]["entry"];
  entry["_data"]["block_size"] = Json::array({1, 32});
  EXPECT_FLUXQ_ERROR(find(entry), unsupported, "block_size");
  entry = golden()[GetParam()]["entry"];
  entry["_data"]["new_thing"] = true;
  EXPECT_FLUXQ_ERROR(find(entry), unsupported, "new_thing");
  entry = golden()[GetParam()]["entry"];
  entry["_tensor_data_names"].push_back("extra");
  EXPECT_FLUXQ_ERROR(find(entry), unsupported, "extra");
}

INSTANTIATE_TEST_SUITE_P(Schemes, TorchaoForm, ::testing::ValuesIn(kTorchaoSchemes),
                         [](const auto& info) { return std::string(info.param); });

TEST(StoredWeights, EverySchemeIsFoundAgain) {
  for (const Scheme* scheme : all_schemes()) {
    StoredWeights stored;
    stored.add_weight("a.0.b", *scheme, 64, 384);
    stored.add_plain("a.0.b.bias");
    const StoredWeight found = find_stored_weight(stored.metadata(), "a.0.b", 64, 384, "file");
    const bool plain = scheme->stored_form(64, 384).type == "Tensor";
    EXPECT_EQ(found.scheme, plain ? nullptr : scheme) << scheme->info().name;
    EXPECT_EQ(stored.metadata().empty(), plain) << scheme->info().name;
    EXPECT_EQ(stored.quantization_config(*scheme).is_null(), plain) << scheme->info().name;
  }
}

TEST(StoredWeights, ListAllNamesAndDescribePlainTensorsAsTorchaoDoes) {
  StoredWeights stored;
  for (const char* name : kTorchaoSchemes) stored.add_weight(name, find_scheme(name), 4, 256);
  stored.add_plain("int8dq.bias");
  EXPECT_EQ(parse_json(stored.metadata().at("tensor_names"), "names"),
            parse_json(golden()["tensor_names"].get<std::string>(), "golden"));
  EXPECT_EQ(parse_json(stored.metadata().at("int8dq.bias"), "entry"), golden()["plain"]);
  EXPECT_EQ(part_tensor_name("int8dq", "scale"), "int8dq._weight_scale");
}

TEST(StoredWeights, WhatTorchaoDoesNotHaveMakesTheFolderFluxqs) {
  StoredWeights stored;
  stored.add_weight("a", find_scheme("int8dq"), 64, 384);
  stored.add_weight("b", find_scheme("sparse24-int8dq"), 64, 384);
  EXPECT_EQ(stored.quantization_config(find_scheme("int8dq")),
            (Json{{"quant_method", "fluxq"}, {"scheme", "int8dq"}}));
}

// Smoothing: y = (x * s) W'^T with W' = W / s. Only the header's entry and the part's name are
// there until something computes s.
TEST(StoredWeights, AnInputScaleIsTorchaosActPreScale) {
  StoredWeights stored;
  stored.add_weight("x", find_scheme("int8dq"), 4, 256, true);
  const Json entry = parse_json(stored.metadata().at("x.weight"), "entry");
  EXPECT_THAT(entry["_tensor_data_names"].get<std::vector<std::string>>(),
              ::testing::Contains("act_pre_scale"));
  EXPECT_EQ(part_tensor_name("x", kInputScalePart), "x._weight_act_pre_scale");
  const StoredWeight found = find_stored_weight(stored.metadata(), "x", 4, 256, "file");
  EXPECT_EQ(found.scheme, &find_scheme("int8dq"));
  EXPECT_TRUE(found.input_scale);
}

TEST(StoredWeights, PlainAndUnknownOnesHaveNoScheme) {
  EXPECT_EQ(find(golden()["plain"]).scheme, nullptr);
  EXPECT_EQ(find_stored_weight({}, "x", 4, 256, "file").scheme, nullptr);
  EXPECT_EQ(find_stored_weight({{"tensor_names", "[]"}}, "x", 4, 256, "file").scheme, nullptr);
  EXPECT_FALSE(has_stored_weights({{"format", "pt"}}));
}

TEST(StoredWeights, BadEntriesAreRefused) {
  const auto find_text = [](const char* text) {
    return find_stored_weight({{"tensor_names", "[]"}, {"x.weight", text}}, "x", 4, 256, "a file");
  };
  EXPECT_FLUXQ_ERROR(find_text(""), corrupt_file, "a file: header entry x.weight");
  EXPECT_FLUXQ_ERROR(find_text("[]"), corrupt_file, "x.weight");
  EXPECT_FLUXQ_ERROR(find_text("{}"), corrupt_file, "_type");
  EXPECT_FLUXQ_ERROR(find_text(R"({"_type": 3})"), corrupt_file, "_type");
  EXPECT_FLUXQ_ERROR(find_text(R"({"_type": "Int8Tensor"})"), corrupt_file, "_data");
  EXPECT_FLUXQ_ERROR(find_text(R"({"_type": "Int8Tensor", "_data": {},
                                   "_tensor_data_names": [1]})"),
                     corrupt_file, "_tensor_data_names");
  EXPECT_FLUXQ_ERROR(find_text(R"({"_type": "NVFP4Tensor", "_data": {},
                                   "_tensor_data_names": []})"),
                     unsupported, "NVFP4Tensor");
  const std::string deep(100, '[');
  EXPECT_FLUXQ_ERROR(find_text(deep.c_str()), corrupt_file, "x.weight");
}

TEST(StoredWeights, AnInt8TensorWithOtherActivationsIsNotOurs) {
  Json entry = golden()["int8dq"]["entry"];
  entry["_data"]["act_quant_kwargs"]["_data"]["reduce_range"] = true;
  EXPECT_FLUXQ_ERROR(find(entry), unsupported, "act_quant_kwargs");
}

}  // namespace
}  // namespace fluxq

// What the config readers accept and refuse (robustness.md 2.4: config drives allocation).
#include "models/config.h"

#include "base/file.h"
#include "base/test_support.h"
#include "models/clip/config.h"
#include "models/flux/config.h"
#include "models/t5/config.h"
#include "models/vae/config.h"

namespace fluxq {
namespace {

struct Warnings final : Progress {
  void warn(std::string_view sentence) override { all.emplace_back(sentence); }
  std::vector<std::string> all;
};

constexpr std::string_view kFlux = R"({"_class_name": "FluxTransformer2DModel",
  "_diffusers_version": "0.30.0", "attention_head_dim": 128, "guidance_embeds": true,
  "in_channels": 64, "joint_attention_dim": 4096, "num_attention_heads": 24, "num_layers": 19,
  "num_single_layers": 38, "patch_size": 1, "pooled_projection_dim": 768})";
constexpr std::string_view kT5 = R"({"architectures": ["T5EncoderModel"], "d_ff": 10240,
  "d_kv": 64, "d_model": 4096, "feed_forward_proj": "gated-gelu", "layer_norm_epsilon": 1e-06,
  "model_type": "t5", "num_heads": 64, "num_layers": 24, "relative_attention_max_distance": 128,
  "relative_attention_num_buckets": 32, "vocab_size": 32128, "dropout_rate": 0.1})";
constexpr std::string_view kClip = R"({"architectures": ["CLIPTextModel"], "eos_token_id": 2,
  "hidden_act": "quick_gelu", "hidden_size": 768, "intermediate_size": 3072,
  "layer_norm_eps": 1e-05, "max_position_embeddings": 77, "model_type": "clip_text_model",
  "num_attention_heads": 12, "num_hidden_layers": 12, "vocab_size": 49408})";
constexpr std::string_view kVae = R"({"_class_name": "AutoencoderKL", "act_fn": "silu",
  "block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "latent_channels": 16,
  "norm_num_groups": 32, "out_channels": 3, "scaling_factor": 0.3611, "shift_factor": 0.1159,
  "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D",
  "UpDecoderBlock2D"], "use_post_quant_conv": false})";

// The config with one key changed, or taken out when the text is empty.
Json changed(std::string_view config, const std::string& key, std::string_view value) {
  Json json = parse_json(config, "test");
  if (value.empty())
    json.erase(key);
  else
    json[key] = parse_json(value, key);
  return json;
}

struct Refusal {
  std::string_view key, value;
  ErrorCode code;
  std::string_view part;  // of the message
};
constexpr ErrorCode kCorrupt = ErrorCode::corrupt_file, kUnsupported = ErrorCode::unsupported;

template <typename Parse>
void expect_refused(std::string_view config, Parse parse, std::initializer_list<Refusal> refusals) {
  for (const Refusal& refusal : refusals) {
    SCOPED_TRACE(fmt::format("{}: {}", refusal.key, refusal.value));
    Progress progress;
    try {
      parse(changed(config, std::string(refusal.key), refusal.value), "config.json", progress);
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), refusal.code) << error.what();
      EXPECT_THAT(error.what(), ::testing::StartsWith("config.json: "));
      EXPECT_THAT(error.what(), ::testing::HasSubstr(refusal.part));
    }
  }
}

TEST(FluxConfig, IsThatOfTheFile) {
  Warnings warnings;
  const FluxConfig config = parse_flux_config(parse_json(kFlux, "f"), "f", warnings);
  EXPECT_EQ(config.hidden(), 3072);
  EXPECT_EQ(config.mlp(), 12288);
  EXPECT_EQ(config.double_blocks, 19);
  EXPECT_EQ(config.single_blocks, 38);
  EXPECT_TRUE(config.guidance);
  EXPECT_EQ(config.axes, (std::array<int64_t, 3>{16, 56, 56}));  // FLUX.1's own file has none
  EXPECT_TRUE(warnings.all.empty());
}

TEST(FluxConfig, RefusesWhatDoesNotFit) {
  expect_refused(
      kFlux, parse_flux_config,
      {{"_class_name", "\"SD3Transformer2DModel\"", kUnsupported, "_class_name"},
       {"num_attention_heads", "", kCorrupt, "num_attention_heads"},
       {"num_attention_heads", "0", kCorrupt, "num_attention_heads"},
       {"num_attention_heads", "-24", kCorrupt, "num_attention_heads"},
       {"num_attention_heads", "24.0", kCorrupt, "num_attention_heads"},
       {"num_attention_heads", "\"24\"", kCorrupt, "num_attention_heads"},
       {"num_attention_heads", "1000", kCorrupt, "attention_head_dim"},  // the product is too large
       {"num_attention_heads", "18446744073709551615", kCorrupt, "num_attention_heads"},
       {"attention_head_dim", "130", kCorrupt, "axes_dims_rope"},
       {"num_layers", "1000000000", kCorrupt, "num_layers"},
       {"num_layers", "-1", kCorrupt, "num_layers"},
       {"num_single_layers", "null", kCorrupt, "num_single_layers"},
       {"in_channels", "66", kUnsupported, "in_channels"},
       {"out_channels", "128", kUnsupported, "out_channels"},
       {"patch_size", "2", kUnsupported, "patch_size"},
       {"joint_attention_dim", "100000000", kCorrupt, "joint_attention_dim"},
       {"pooled_projection_dim", "[768]", kCorrupt, "pooled_projection_dim"},
       {"guidance_embeds", "1", kCorrupt, "guidance_embeds"},
       {"axes_dims_rope", "[16, 56, 58]", kCorrupt, "sum 128"},
       {"axes_dims_rope", "[15, 57, 56]", kCorrupt, "even"},
       {"axes_dims_rope", "[64, 64]", kCorrupt, "3 axes"},
       {"axes_dims_rope", "[32, 32, 32, 32]", kCorrupt, "axes_dims_rope"},
       {"axes_dims_rope", "[0, 64, 64]", kCorrupt, "axes_dims_rope"},
       {"axes_dims_rope", "128", kCorrupt, "axes_dims_rope"}});
}

TEST(FluxConfig, WarnsOfUnknownKeysOnce) {
  Warnings warnings;
  Json json = parse_json(kFlux, "f");
  json["qk_norm"] = "none";
  json["an\nother"] = 1;
  parse_flux_config(json, "f", warnings);
  ASSERT_EQ(warnings.all.size(), 1u);
  EXPECT_THAT(warnings.all[0], ::testing::HasSubstr("\"qk_norm\""));
  EXPECT_THAT(warnings.all[0], ::testing::HasSubstr("2 keys"));
  EXPECT_EQ(warnings.all[0].find('\n'), std::string::npos);
}

TEST(T5Config, IsThatOfTheFile) {
  Warnings warnings;
  const T5Config config = parse_t5_config(parse_json(kT5, "f"), "f", warnings);
  EXPECT_EQ(config.inner(), 4096);
  EXPECT_EQ(config.act, Act::gelu_tanh);
  EXPECT_TRUE(config.gated);
  EXPECT_TRUE(warnings.all.empty());
}

TEST(T5Config, FeedForwardIsReadAsTransformersDoes) {
  const auto parse = [](std::initializer_list<std::pair<const char*, Json>> keys) {
    Json json = parse_json(kT5, "f");
    json.erase("feed_forward_proj");
    for (const auto& [key, value] : keys) json[key] = value;
    Progress progress;
    const T5Config config = parse_t5_config(json, "f", progress);
    return std::pair(config.act, config.gated);
  };
  EXPECT_EQ(parse({}), std::pair(Act::relu, false));
  EXPECT_EQ(parse({{"feed_forward_proj", "gelu"}}), std::pair(Act::gelu_erf, false));
  EXPECT_EQ(parse({{"feed_forward_proj", "gated-silu"}}), std::pair(Act::silu, true));
  EXPECT_EQ(parse({{"feed_forward_proj", "gated-gelu"}}), std::pair(Act::gelu_tanh, true));
  EXPECT_EQ(parse({{"feed_forward_proj", "gated-gelu"}, {"dense_act_fn", "relu"}}),
            std::pair(Act::relu, true));
  EXPECT_EQ(parse({{"feed_forward_proj", "gated-gelu"}, {"is_gated_act", false}}),
            std::pair(Act::gelu_tanh, false));
}

TEST(T5Config, RefusesWhatDoesNotFit) {
  expect_refused(
      kT5, parse_t5_config,
      {{"model_type", "\"mt5\"", kUnsupported, "model_type"},
       {"is_decoder", "true", kUnsupported, "is_decoder"},
       {"d_model", "", kCorrupt, "d_model"},
       {"d_model", "0", kCorrupt, "d_model"},
       {"d_kv", "-1", kCorrupt, "d_kv"},
       {"d_kv", "1025", kCorrupt, "d_kv"},
       {"num_heads", "1025", kCorrupt, "num_heads"},
       {"d_ff", "1e5", kCorrupt, "d_ff"},
       {"num_layers", "0", kCorrupt, "num_layers"},
       {"num_layers", "1025", kCorrupt, "num_layers"},
       {"vocab_size", "100000000000", kCorrupt, "vocab_size"},
       {"layer_norm_epsilon", "-1", kCorrupt, "layer_norm_epsilon"},
       {"relative_attention_num_buckets", "2", kCorrupt, "relative_attention_num_buckets"},
       {"relative_attention_max_distance", "8", kCorrupt, "relative_attention_max_distance"},
       {"feed_forward_proj", "\"gated-mish\"", kUnsupported, "feed_forward_proj"},
       {"feed_forward_proj", "3", kCorrupt, "feed_forward_proj"},
       {"dense_act_fn", "\"mish\"", kUnsupported, "\"mish\""}});
}

TEST(ClipConfig, IsThatOfTheFile) {
  Warnings warnings;
  const ClipConfig config = parse_clip_config(parse_json(kClip, "f"), "f", warnings);
  EXPECT_EQ(config.head_dim(), 64);
  EXPECT_EQ(config.eos, 2);
  EXPECT_EQ(config.act, Act::quick_gelu);
  EXPECT_TRUE(warnings.all.empty());
}

TEST(ClipConfig, RefusesWhatDoesNotFit) {
  expect_refused(kClip, parse_clip_config,
                 {{"model_type", "\"clip\"", kUnsupported, "model_type"},
                  {"hidden_size", "770", kCorrupt, "multiple of the 12"},
                  {"hidden_size", "0", kCorrupt, "hidden_size"},
                  {"hidden_size", "", kCorrupt, "hidden_size"},
                  {"num_attention_heads", "0", kCorrupt, "num_attention_heads"},
                  {"num_hidden_layers", "1000000000", kCorrupt, "num_hidden_layers"},
                  {"intermediate_size", "true", kCorrupt, "intermediate_size"},
                  {"max_position_embeddings", "0", kCorrupt, "max_position_embeddings"},
                  {"vocab_size", "-5", kCorrupt, "vocab_size"},
                  {"hidden_act", "\"snake\"", kUnsupported, "hidden_act"},
                  {"eos_token_id", "[2, 3]", kUnsupported, "eos_token_id"},
                  {"eos_token_id", "-1", kCorrupt, "eos_token_id"}});
}

TEST(VaeConfig, IsThatOfTheFile) {
  Warnings warnings;
  const VaeConfig config = parse_vae_config(parse_json(kVae, "f"), "f", warnings);
  EXPECT_EQ(config.scale(), 8);
  EXPECT_FLOAT_EQ(config.shift, 0.1159f);
  EXPECT_TRUE(config.mid_attention);
  EXPECT_FALSE(config.post_quant_conv);
  EXPECT_TRUE(warnings.all.empty());
  const Json no_shift = changed(kVae, "shift_factor", "null");
  EXPECT_EQ(parse_vae_config(no_shift, "f", warnings).shift, 0);
}

TEST(VaeConfig, RefusesWhatDoesNotFit) {
  expect_refused(
      kVae, parse_vae_config,
      {{"_class_name", "\"AutoencoderTiny\"", kUnsupported, "_class_name"},
       {"act_fn", "\"relu\"", kUnsupported, "act_fn"},
       {"latent_channels", "0", kCorrupt, "latent_channels"},
       {"block_out_channels", "", kCorrupt, "block_out_channels"},
       {"block_out_channels", "[]", kCorrupt, "block_out_channels"},
       {"block_out_channels", "[128, 250, 512, 512]", kCorrupt, "multiples of the 32"},
       {"block_out_channels", "[128, 256, 512, 1000000]", kCorrupt, "block_out_channels"},
       {"block_out_channels", "[32, 32, 32, 32, 32, 32, 32, 32, 32]", kCorrupt, "at most 8"},
       {"block_out_channels", "[128, 256]", kCorrupt, "up_block_types"},
       {"layers_per_block", "1000000000", kCorrupt, "layers_per_block"},
       {"norm_num_groups", "0", kCorrupt, "norm_num_groups"},
       {"out_channels", "4", kUnsupported, "out_channels"},
       {"scaling_factor", "0", kCorrupt, "scaling_factor"},
       {"scaling_factor", "\"a\"", kCorrupt, "scaling_factor"},
       {"up_block_types",
        R"(["AttnUpDecoderBlock2D","UpDecoderBlock2D","UpDecoderBlock2D","UpDecoderBlock2D"])",
        kUnsupported, "AttnUpDecoderBlock2D"}});
}

TEST(ConfigFile, MustBeAnObjectOfModestSize) {
  TempFolder folder;
  EXPECT_FLUXQ_ERROR(read_config_file(folder / "none.json"), not_found, "none.json");
  const auto write = [&](std::string_view text) {
    atomic_write(folder / "config.json", text);
    return folder / "config.json";
  };
  EXPECT_FLUXQ_ERROR(read_config_file(write("[1]")), corrupt_file, "expected an object");
  EXPECT_FLUXQ_ERROR(read_config_file(write("{\"a\": 1e999}")), corrupt_file, "config.json");
  EXPECT_FLUXQ_ERROR(read_config_file(write(std::string((1 << 20) + 1, ' '))), corrupt_file,
                     "config.json");
  EXPECT_EQ(read_config_file(write("{\"a\": 1}"))["a"], 1);
}

}  // namespace
}  // namespace fluxq

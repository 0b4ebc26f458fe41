#include "quant/recipe.h"

#include "base/file.h"
#include "base/test_support.h"

namespace fluxq {
namespace {

const std::vector<std::string> kLayers = {
    "transformer.x_embedder",
    "transformer.transformer_blocks.0.norm1.linear",
    "transformer.transformer_blocks.0.norm1_context.linear",
    "transformer.transformer_blocks.0.attn.to_q",
    "transformer.transformer_blocks.0.ff.net.0.proj",
    "transformer.transformer_blocks.0.ff_context.net.2",
    "transformer.single_transformer_blocks.11.norm.linear",
    "transformer.single_transformer_blocks.11.attn.to_k",
    "transformer.single_transformer_blocks.11.proj_mlp",
    "transformer.single_transformer_blocks.11.proj_out",
    "transformer.norm_out.linear",
    "transformer.proj_out",
    "text_encoder.text_model.encoder.layers.0.mlp.fc1",
    "text_encoder_2.encoder.block.0.layer.0.SelfAttention.q",
    "vae.decoder.mid_block.attentions.0.to_q",
};

std::vector<std::string> chosen(const Recipe& recipe) {
  std::vector<std::string> names;
  for (const std::string& layer : kLayers)
    names.push_back(recipe.choose(layer).scheme->info().name);
  return names;
}

std::filesystem::path write(const TempFolder& folder, std::string_view text) {
  atomic_write(folder / "recipe.json", text);
  return folder / "recipe.json";
}

TEST(Recipe, TheDefaultQuantizesTheBlocksButNotTheirModulation) {
  const Recipe recipe = Recipe::standard(find_scheme("int8dq"));
  const std::string b = "bf16", q = "int8dq";
  EXPECT_EQ(chosen(recipe), (std::vector{b, b, b, q, q, q, b, q, q, q, b, b, b, b, b}));
  for (const std::string& layer : kLayers) {
    const Recipe::Choice choice = recipe.choose(layer);
    EXPECT_EQ(choice.reason.empty(), choice.scheme == &recipe.main()) << layer;
  }
}

TEST(Recipe, TheReferenceHasNoOtherStream) {
  const Recipe recipe = Recipe::standard(find_scheme("f32"));
  EXPECT_EQ(chosen(recipe), std::vector<std::string>(kLayers.size(), "f32"));
  EXPECT_EQ(recipe.stream(), DType::f32);
  EXPECT_EQ(recipe.choose("transformer.proj_out").reason, "");
}

TEST(Recipe, TheLastMatchDecides) {
  TempFolder folder;
  const auto file = write(folder, R"({"name": "mine", "rules": [
      {"pattern": "*"},
      {"pattern": "*proj_out", "scheme": "int4wo", "reason": "to try"},
      {"pattern": "transformer.proj_out", "scheme": "baseline", "reason": "it is last"}]})");
  const Recipe recipe = Recipe::load(file, find_scheme("int8dq"));
  EXPECT_EQ(recipe.name(), "mine");
  EXPECT_EQ(recipe.choose("transformer.x").scheme, &find_scheme("int8dq"));
  EXPECT_EQ(recipe.choose("transformer.b.0.proj_out").scheme, &find_scheme("int4wo"));
  EXPECT_EQ(recipe.choose("transformer.b.0.proj_out").reason, "to try");
  EXPECT_EQ(recipe.choose("transformer.proj_out").scheme, &find_scheme("bf16"));
  recipe.check_used(kLayers);
}

TEST(Recipe, AStarStandsForAnyRunOfCharacters) {
  TempFolder folder;
  const auto scheme_of = [&](std::string_view pattern, std::string_view layer) {
    const auto file =
        write(folder, fmt::format(R"({{"name": "r", "rules": [{{"pattern": "{}"}}]}})", pattern));
    return Recipe::load(file, find_scheme("int8dq")).choose(layer).scheme->info().name;
  };
  EXPECT_EQ(scheme_of("a.*.b", "a.1.b"), "int8dq");
  EXPECT_EQ(scheme_of("a.*.b", "a.1.2.b"), "int8dq");
  EXPECT_EQ(scheme_of("a*b", "ab"), "int8dq");
  EXPECT_EQ(scheme_of("*b*b", "abcb"), "int8dq");
  EXPECT_EQ(scheme_of("a**", "a"), "int8dq");
  EXPECT_EQ(scheme_of("a.*.b", "a.b"), "bf16");
  EXPECT_EQ(scheme_of("a", "ab"), "bf16");
  EXPECT_EQ(scheme_of("*b", "abc"), "bf16");
  EXPECT_EQ(scheme_of("a?c", "abc"), "bf16");
  const std::string many(5000, 'a');  // no exponential time
  EXPECT_EQ(scheme_of("*a*a*a*a*a*a*a*a*a*a*b", many), "bf16");
}

TEST(Recipe, APatternWithoutALayerIsAnErrorThatNamesNearOnes) {
  TempFolder folder;
  const auto file = write(folder, R"({"name": "mine", "rules": [
      {"pattern": "*"}, {"pattern": "transformer.proj_uot"}]})");
  const Recipe recipe = Recipe::load(file, find_scheme("int8dq"));
  EXPECT_FLUXQ_ERROR(recipe.check_used(kLayers), bad_argument,
                     "pattern \"transformer.proj_uot\" matches none of 15 layers");
  EXPECT_FLUXQ_ERROR(recipe.check_used(kLayers), bad_argument,
                     "Did you mean \"transformer.proj_out\"");
}

TEST(Recipe, BadFilesAreRefusedByPlace) {
  TempFolder folder;
  const auto load = [&](std::string_view text) {
    return Recipe::load(write(folder, text), find_scheme("int8dq"));
  };
  EXPECT_FLUXQ_ERROR(load("[]"), corrupt_file, "recipe.json");
  EXPECT_FLUXQ_ERROR(load("{"), corrupt_file, "recipe.json");
  EXPECT_FLUXQ_ERROR(load(R"({"rules": []})"), corrupt_file, "name");
  EXPECT_FLUXQ_ERROR(load(R"({"name": "x"})"), corrupt_file, "rules");
  EXPECT_FLUXQ_ERROR(load(R"({"name": "x", "rules": []})"), corrupt_file, "rules");
  EXPECT_FLUXQ_ERROR(load(R"({"name": "x", "rules": [3]})"), corrupt_file, "rules[0]");
  EXPECT_FLUXQ_ERROR(load(R"({"name": "x", "rules": [{}]})"), corrupt_file, "pattern");
  EXPECT_FLUXQ_ERROR(load(R"({"name": "x", "rules": [{"pattern": ""}]})"), corrupt_file, "empty");
  EXPECT_FLUXQ_ERROR(load(R"({"name": "x", "rules": [{"pattern": "*", "shceme": "bf16"}]})"),
                     corrupt_file, "shceme");
  EXPECT_FLUXQ_ERROR(load(R"({"name": "x", "rules": [{"pattern": "*", "scheme": "int8"}]})"),
                     bad_argument, "int8dq");
  EXPECT_FLUXQ_ERROR(load(R"({"name": "x", "rules": [{"pattern": "*", "scheme": "f32"}]})"),
                     bad_argument, "cannot be mixed");
  EXPECT_FLUXQ_ERROR(Recipe::load(folder / "none.json", find_scheme("int8dq")), not_found,
                     "none.json");
}

TEST(ShippedRecipes, FitTheLayersAndTheDefaultIsTheStandard) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(FLUXQ_SOURCE_DIR "/recipes")) {
    const Recipe recipe = Recipe::load(entry.path(), find_scheme("fp8dqrow"));
    SCOPED_TRACE(entry.path());
    EXPECT_EQ(recipe.name(), entry.path().stem());
    recipe.check_used(kLayers);
    const std::vector<std::string> names = chosen(recipe);
    EXPECT_THAT(names, ::testing::Contains("fp8dqrow"));
    for (size_t i = 0; i < kLayers.size(); ++i) {
      const Recipe::Choice choice = recipe.choose(kLayers[i]);
      EXPECT_EQ(choice.reason.empty(), choice.scheme == &recipe.main()) << kLayers[i];
      if (recipe.name() != "default") continue;
      const Recipe::Choice standard = Recipe::standard(recipe.main()).choose(kLayers[i]);
      EXPECT_EQ(choice.scheme, standard.scheme) << kLayers[i];
      EXPECT_EQ(choice.reason, standard.reason) << kLayers[i];
    }
    ++files;
  }
  EXPECT_GE(files, 4);
}

}  // namespace
}  // namespace fluxq

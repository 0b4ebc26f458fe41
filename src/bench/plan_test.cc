#include "bench/plan.h"

#include "base/test_support.h"
#include "bench/results_json.h"
#include "bench/testing.h"

namespace fluxq {
namespace {

using ::testing::ElementsAre;

ModelFolder some_model() {
  ModelFolder model;
  model.path = "/models/some";
  model.defaults = {.steps = 4, .guidance = 0, .max_text_tokens = 64, .width = 256, .height = 256};
  model.vae.channels = {32, 64, 128, 128};
  return model;
}

Plan resolve(const PlanRequest& request) {
  return resolve_plan(request, some_model(), Device::cpu);
}

TEST(Plan, FillsInTheDefaultsOfModelAndDevice) {
  const Plan plan = resolve({});
  EXPECT_EQ(plan.schemes.front(), "bf16");
  EXPECT_THAT(plan.schemes, ::testing::Contains("sparse24-int8dq"));
  EXPECT_THAT(plan.schemes, ::testing::Not(::testing::Contains("f32")));
  EXPECT_THAT(plan.batches, ElementsAre(1, 4));
  EXPECT_THAT(plan.sizes, ElementsAre(std::pair(256, 256)));
  EXPECT_EQ(plan.steps, 4);
  EXPECT_EQ(plan.max_text_tokens, 64);
  EXPECT_EQ(plan.prompts.size(), 16u);
  EXPECT_THAT(plan.seeds, ElementsAre(0u));
  EXPECT_EQ(plan.model, "/models/some");
}

TEST(Plan, PutsTheBaselineFirstAndCountsNothingTwice) {
  PlanRequest request;
  request.schemes = {"int8dq", "bf16", "int8dq", "f32"};
  request.batches = {8, 1, 8};
  request.sizes = {{64, 64}, {32, 64}, {64, 64}};
  const Plan plan = resolve(request);
  EXPECT_THAT(plan.schemes, ElementsAre("bf16", "int8dq", "f32"));
  EXPECT_THAT(plan.batches, ElementsAre(1, 8));
  EXPECT_THAT(plan.sizes, ElementsAre(std::pair(64, 64), std::pair(32, 64)));
  EXPECT_EQ(cells_of(plan).size(), 12u);
  EXPECT_EQ(cells_of(plan)[1], (CellKey{"bf16", 8, 64, 64}));
}

TEST(Plan, RefusesWhatCannotBeMeasured) {
  const auto refused = [](auto member, auto value, std::string_view part) {
    PlanRequest request;
    request.*member = value;
    EXPECT_FLUXQ_ERROR(resolve(request), bad_argument, part);
  };
  using Names = std::vector<std::string>;
  using Sizes = std::vector<std::pair<int, int>>;
  refused(&PlanRequest::schemes, Names{"int8d"}, "int8dq");
  refused(&PlanRequest::schemes, Names{}, "no cells");
  refused(&PlanRequest::batches, std::vector<int>{}, "no cells");
  refused(&PlanRequest::batches, std::vector<int>{0, 1}, "batches: expected 1 to 1024, got 0");
  refused(&PlanRequest::batches, std::vector<int>{1025}, "got 1025");
  refused(&PlanRequest::sizes, Sizes{}, "no cells");
  refused(&PlanRequest::sizes, Sizes{{250, 256}}, "multiples of 16");
  refused(&PlanRequest::sizes, Sizes{{16384, 16384}}, "pixels");
  refused(&PlanRequest::prompts, Names{}, "no cells");
  refused(&PlanRequest::prompts, Names{"a\xff"}, "prompt 1: expected UTF-8");
  refused(&PlanRequest::seeds, std::vector<uint64_t>{}, "no cells");
  refused(&PlanRequest::steps, 0, "steps: expected 1");
  refused(&PlanRequest::repeats, 0, "repeats: expected 1");
  refused(&PlanRequest::warmups, -1, "warmups: expected 0");
  refused(&PlanRequest::guidance, std::nan(""), "guidance");
}

TEST(Plan, ReadsAFile) {
  const TempFolder folder;
  write_test_file(folder / "prompts.txt", "red apple\r\n\n  \npenguin\n");
  write_test_file(folder / "plan.json", R"({"schemes": "all", "batches": [4, 1], "steps": 2,
      "sizes": [64, "64x32", [32, 64]], "prompts": "prompts.txt", "seeds": 3, "guidance": 3.5})");
  const PlanRequest request = read_plan_file(folder / "plan.json");
  const Plan plan = resolve(request);
  EXPECT_THAT(plan.prompts, ElementsAre("red apple", "penguin"));
  EXPECT_THAT(plan.seeds, ElementsAre(0u, 1u, 2u));
  EXPECT_THAT(plan.sizes, ElementsAre(std::pair(64, 64), std::pair(64, 32), std::pair(32, 64)));
  EXPECT_EQ(plan.guidance, 3.5);
  EXPECT_EQ(plan.repeats, 5);
  PlanRequest more;
  more.steps = 7;
  more.fill_from(request);
  EXPECT_EQ(resolve(more).steps, 7);
  EXPECT_EQ(resolve(more).seeds, plan.seeds);
}

TEST(Plan, ARecipeIsForTheSchemesThatQuantize) {
  const TempFolder folder;
  write_test_file(folder / "recipe.json", R"({"name": "all", "rules": [{"pattern": "*"}]})");
  write_test_file(folder / "plan.json", R"({"recipe": "recipe.json", "schemes": ["int8dq"]})");
  const Plan plan = resolve(read_plan_file(folder / "plan.json"));
  EXPECT_EQ(plan.recipe, (folder / "recipe.json").string());
  EXPECT_EQ(recipe_of(plan, find_scheme("int8dq")).name(), "all");
  EXPECT_EQ(recipe_of(plan, find_scheme("bf16")).name(), "default");
  EXPECT_EQ(recipe_of(plan, find_scheme("f32")).name(), "default");
  write_test_file(folder / "recipe.json", R"({"name": "all", "rules": [{"pattern": 1}]})");
  EXPECT_FLUXQ_ERROR(resolve(read_plan_file(folder / "plan.json")), corrupt_file, "recipe.json");
  EXPECT_EQ(to_json(resolve(to_request(testing::sample_plan())))["recipe"], "");
}

TEST(Plan, AnAttentionIsForTheSchemesThatQuantize) {
  const TempFolder folder;
  write_test_file(folder / "plan.json", R"({"attention": "int8", "schemes": ["int8dq"]})");
  const PlanRequest request = read_plan_file(folder / "plan.json");
  EXPECT_FLUXQ_ERROR(resolve(request), unsupported, "attention int8: expected bf16 on the CPU");
  // The label is what runs.
  ModelFolder model = some_model();
  EXPECT_EQ(resolve_plan(request, model, Device::cuda).attention, "int8");
  model.flux.head_dim = 64;
  EXPECT_EQ(resolve_plan(request, model, Device::cuda).attention, "bf16");
  Plan plan = resolve({});
  EXPECT_EQ(plan.attention, "bf16");
  plan.attention = *request.attention;
  EXPECT_EQ(attention_of(plan, "int8dq"), "int8");
  EXPECT_EQ(attention_of(plan, "bf16"), "bf16");
  EXPECT_EQ(attention_of(plan, "f32"), "bf16");
  EXPECT_EQ(*to_request(plan).attention, "int8");
  EXPECT_EQ(plan_from_json(to_json(plan), "x").attention, "int8");
  Json older = to_json(plan);
  older.erase("attention");
  EXPECT_EQ(plan_from_json(older, "x").attention, "bf16");
}

TEST(Plan, AStoredPlanResolvesToItself) {
  const Plan plan = testing::sample_plan();
  EXPECT_EQ(to_json(resolve(to_request(plan))), to_json(plan));
}

TEST(Plan, RefusesBadFiles) {
  const TempFolder folder;
  const auto refused = [&](std::string_view text, std::string_view part) {
    write_test_file(folder / "plan.json", text);
    EXPECT_FLUXQ_ERROR(read_plan_file(folder / "plan.json"), corrupt_file, part);
  };
  refused("[]", "expected an object");
  refused("{", "plan.json");
  refused(R"({"scheme": ["bf16"]})", "Did you mean \"schemes\"");
  refused(R"({"schemes": [1]})", "schemes: expected a text");
  refused(R"({"batches": [0]})", "batches");
  refused(R"({"sizes": [-1]})", "sizes");
  refused(R"({"seeds": [-1]})", "seeds");
  refused(R"({"seeds": "many"})", "seeds");
  refused(R"({"steps": 1.5})", "steps");
  write_test_file(folder / "plan.json", R"({"sizes": ["10x"]})");
  EXPECT_FLUXQ_ERROR(read_plan_file(folder / "plan.json"), bad_argument, "1024x768");
  write_test_file(folder / "plan.json", R"({"prompts": "nowhere.txt"})");
  EXPECT_FLUXQ_ERROR(read_plan_file(folder / "plan.json"), not_found, "nowhere.txt");
  write_test_file(folder / "empty.txt", "\n \n\t\n");
  EXPECT_FLUXQ_ERROR(read_prompt_file(folder / "empty.txt"), bad_argument, "found none");
}

TEST(Plan, TheOtherSeedIsNoneOfThePlans) {
  Plan plan = testing::sample_plan();  // seeds 0 and 2^64 - 1
  EXPECT_EQ(other_seed(plan), 1u);
  plan.seeds = {4, 2};
  EXPECT_EQ(other_seed(plan), 5u);
}

}  // namespace
}  // namespace fluxq

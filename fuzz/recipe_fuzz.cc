/// Recipes and plans of a benchmark run.
#include "base/error.h"
#include "bench/plan.h"
#include "quant/recipe.h"
#include "target.h"

namespace fluxq::fuzz {

void read(std::string_view input) {
  static const Scratch scratch;
  const auto file = scratch.put("recipe.json", input);
  try {
    read_plan_file(file);
  } catch (const Error& error) {
    expect(error.code() != ErrorCode::internal, "a plan is refused for what is in it");
  }
  const Recipe recipe = Recipe::load(file, find_scheme("int8dq"));
  expect(recipe.choose("transformer.transformer_blocks.0.attn.to_q").scheme != nullptr,
         "every layer gets a scheme");
}

std::string repaired(std::string input) { return input; }

}  // namespace fluxq::fuzz

#include "pipeline/model_recipe.h"

#include "models/stored_weights.h"
#include "pipeline/model_weights.h"

namespace fluxq {

Recipe choose_recipe(const ModelFolder& model, const std::string& scheme,
                     const std::filesystem::path& file) {
  const Scheme* asked = scheme.empty() ? nullptr : &find_scheme(scheme);
  const std::map<std::string, WeightPlan> plans = weight_plans(model);
  std::vector<std::unique_ptr<TensorSource>> sources;
  std::vector<StoredPart> parts;
  for (const auto& [name, plan] : plans) {
    sources.push_back(open_tensors(model, name));
    parts.push_back({name, plan, *sources.back()});
  }
  const std::optional<Recipe> stored = stored_recipe(parts);
  if (!stored) {
    const Scheme& main = asked ? *asked : find_scheme("bf16");
    return file.empty() ? Recipe::standard(main) : Recipe::load(file, main);
  }
  const std::string& name = stored->main().info().name;
  if (asked && asked != &stored->main())
    fail(
        ErrorCode::bad_argument,
        "the model {} is stored as {}, which cannot be packed again: expected that scheme or none, "
        "got {}",
        model.path.string(), name, scheme);
  if (!file.empty())
    fail(ErrorCode::bad_argument,
         "the model {} is stored as {} and has its own recipe: expected none, got {}",
         model.path.string(), name, file.string());
  return *stored;
}

}  // namespace fluxq

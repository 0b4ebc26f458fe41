#include "bench/work_list.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/sha256.h"
#include "bench/plan.h"
#include "bench/run_files.h"

namespace fluxq {
namespace {

namespace fs = std::filesystem;

using PictureKey = std::tuple<std::string, int, uint64_t, int, int>;

PictureKey key_of(const PictureResult& p) {
  return {p.scheme, p.prompt, p.seed, p.width, p.height};
}

/// The pictures that need no more work, with what was recorded.
class Drawn {
 public:
  Drawn(const std::vector<PictureResult>& pictures, const fs::path& run_folder) {
    for (const PictureResult& picture : pictures) {
      try {
        if (picture.file.empty() || sha256_file(run_folder / picture.file, {}) == picture.sha256)
          pictures_[key_of(picture)] = &picture;
      } catch (const Error&) {  // missing or unreadable: drawn again
      }
    }
  }
  const PictureResult* find(const PictureResult& picture) const {
    const auto found = pictures_.find(key_of(picture));
    return found == pictures_.end() ? nullptr : found->second;
  }

 private:
  std::map<PictureKey, const PictureResult*> pictures_;
};

bool is_flagged(const PictureResult& picture) {
  return picture.has_nan || picture.black || picture.constant;
}

/// Drawn, and compared if there is anything to compare.
bool is_done(const PictureResult* picture, const PictureResult* reference) {
  return picture && (is_flagged(*picture) || picture->psnr_db || picture == reference ||
                     (reference && is_flagged(*reference)));
}

Unit picture_unit(Unit::Kind kind, const std::string& scheme, int prompt, uint64_t seed,
                  const std::pair<int, int>& size) {
  Unit unit{.kind = kind, .key = {scheme, 1, size.first, size.second}};
  unit.picture.scheme = scheme;
  unit.picture.prompt = prompt;
  unit.picture.seed = seed;
  unit.picture.width = size.first;
  unit.picture.height = size.second;
  return unit;
}

/// All pictures of a scheme in the plan, done or not.
std::vector<Unit> pictures_of(const Plan& plan, const std::string& scheme) {
  std::vector<Unit> units;
  const auto prompts = static_cast<int>(plan.prompts.size());
  for (const auto& size : plan.sizes)
    for (int prompt = 0; prompt < prompts; ++prompt)
      for (uint64_t seed : plan.seeds)
        units.push_back(picture_unit(Unit::Kind::picture, scheme, prompt, seed, size));
  if (scheme != kBaseline) return units;
  for (const auto& size : plan.sizes)
    for (int prompt = 0; prompt < prompts; ++prompt)
      units.push_back(
          picture_unit(Unit::Kind::seed_change, scheme, prompt, other_seed(plan), size));
  return units;
}

}  // namespace

std::string describe(const Unit& unit) {
  const CellKey& key = unit.key;
  switch (unit.kind) {
    case Unit::Kind::cell:
      return fmt::format("{}, batch {}, {} x {}", key.scheme, key.batch, key.width, key.height);
    case Unit::Kind::picture:
      return fmt::format("{}, picture of prompt {}, seed {}, {} x {}", key.scheme,
                         unit.picture.prompt, unit.picture.seed, key.width, key.height);
    case Unit::Kind::seed_change:
      return fmt::format("{}, picture of prompt {} with another seed, {} x {}", key.scheme,
                         unit.picture.prompt, key.width, key.height);
  }
  return key.scheme;
}

WorkList list_work(const Results& results, const fs::path& run_folder,
                   const std::function<double(const CellKey&)>& run_flops) {
  const Plan& plan = results.plan;
  const bool draws = !results.environment.synthetic;
  const Drawn drawn(results.pictures, run_folder), other_seeds(results.seed_change, run_folder);
  std::vector<std::string> schemes = plan.schemes;
  if (draws && results.noise_floor == NoiseFloor::f32_run &&
      std::find(schemes.begin(), schemes.end(), kExact) == schemes.end())
    schemes.emplace_back(kExact);

  WorkList list;
  std::set<fs::path> missing_latents;
  for (const std::string& scheme : schemes) {
    SchemeWork work{.scheme = scheme, .units = {}};
    for (const Cell& cell : results.cells) {
      if (cell.key.scheme != scheme) continue;
      const double runs = 1 + plan.warmups + plan.repeats;
      Unit unit{.kind = Unit::Kind::cell, .key = cell.key, .work = runs * run_flops(cell.key)};
      list.all_work += unit.work;
      ++list.cells;
      if (cell.status != CellStatus::done) work.units.push_back(std::move(unit));
    }
    std::stable_sort(work.units.begin(), work.units.end(),
                     [](const Unit& a, const Unit& b) { return a.work < b.work; });
    for (Unit& unit : draws ? pictures_of(plan, scheme) : std::vector<Unit>{}) {
      unit.work = run_flops(unit.key);
      list.all_work += unit.work;
      ++list.pictures;
      PictureResult reference = unit.picture;
      reference.scheme = kBaseline;
      if (unit.kind == Unit::Kind::seed_change) reference.seed = plan.seeds.front();
      const Drawn& known = unit.kind == Unit::Kind::picture ? drawn : other_seeds;
      if (is_done(known.find(unit.picture), drawn.find(reference))) continue;
      std::error_code error;
      const fs::path latents = latents_file(run_folder, reference);
      if (!fs::exists(latents, error)) missing_latents.insert(latents);
      work.units.push_back(std::move(unit));
    }
    list.schemes.push_back(std::move(work));
  }

  // The baseline's pictures that were drawn, but whose latents are needed again.
  std::vector<Unit> again;
  for (Unit& unit : draws ? pictures_of(plan, std::string(kBaseline)) : std::vector<Unit>{}) {
    const PictureResult* known =
        unit.kind == Unit::Kind::picture ? drawn.find(unit.picture) : nullptr;
    if (known && !is_flagged(*known) &&
        missing_latents.contains(latents_file(run_folder, unit.picture)))
      again.push_back(std::move(unit));
  }
  std::vector<Unit>& baseline = list.schemes.front().units;
  const auto first_picture = std::find_if(baseline.begin(), baseline.end(), [](const Unit& unit) {
    return unit.kind != Unit::Kind::cell;
  });
  baseline.insert(first_picture, again.begin(), again.end());
  return list;
}

}  // namespace fluxq

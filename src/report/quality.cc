#include "report/quality.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <tuple>

namespace fluxq::report {
namespace {

// What two pictures from the same noise have in common.
using PictureKey = std::tuple<int, uint64_t, int, int>;

PictureKey key_of(const PictureResult& picture) {
  return {picture.prompt, picture.seed, picture.width, picture.height};
}

std::vector<const PictureResult*> pictures_of(const Results& results, std::string_view scheme) {
  std::vector<const PictureResult*> pictures;
  for (const PictureResult& picture : results.pictures)
    if (picture.scheme == scheme) pictures.push_back(&picture);
  return pictures;
}

std::optional<Estimate> mean_of(const std::vector<double>& values) {
  if (values.empty()) return std::nullopt;
  return Estimate{mean(values), bootstrap_interval(values, Center::mean),
                  static_cast<int64_t>(values.size())};
}

Estimate scaled(Estimate estimate, double factor) {
  estimate.value *= factor;
  if (estimate.interval) {
    estimate.interval->lo *= factor;
    estimate.interval->hi *= factor;
  }
  return estimate;
}

std::vector<Estimate> drift_of(const std::vector<const PictureResult*>& pictures) {
  size_t steps = SIZE_MAX;
  for (const PictureResult* picture : pictures)
    steps = std::min(steps, picture->latent_drift.size());
  std::vector<Estimate> drift;
  for (size_t step = 0; !pictures.empty() && step < steps; ++step) {
    std::vector<double> values;
    for (const PictureResult* picture : pictures)
      if (std::isfinite(picture->latent_drift[step])) values.push_back(picture->latent_drift[step]);
    if (values.empty()) break;
    drift.push_back(*mean_of(values));
  }
  return drift;
}

SchemeQuality quality_of(std::string scheme, const std::vector<const PictureResult*>& pictures,
                         const std::set<PictureKey>& flagged_baseline) {
  SchemeQuality quality;
  quality.scheme = std::move(scheme);
  quality.pictures = static_cast<int64_t>(pictures.size());
  std::vector<const PictureResult*> compared;
  std::vector<double> psnr, ssim, flip;
  for (const PictureResult* picture : pictures) {
    quality.has_nan += picture->has_nan;
    quality.black += picture->black;
    quality.constant += picture->constant;
    if (is_flagged(*picture)) {
      ++quality.flagged;
      quality.newly_flagged += !flagged_baseline.contains(key_of(*picture));
    }
    if (!is_compared(*picture)) continue;
    compared.push_back(picture);
    flip.push_back(*picture->flip);
    if (picture->ssim && std::isfinite(*picture->ssim)) ssim.push_back(*picture->ssim);
    if (picture->psnr_db && std::isfinite(*picture->psnr_db)) psnr.push_back(*picture->psnr_db);
    quality.identical += picture->psnr_db && std::isinf(*picture->psnr_db);
  }
  quality.psnr_db = mean_of(psnr);
  quality.ssim = mean_of(ssim);
  quality.flip = mean_of(flip);
  if (quality.flip) quality.loss_percent = scaled(*quality.flip, 100);
  quality.drift = drift_of(compared);
  return quality;
}

std::string_view floor_scheme(NoiseFloor floor) {
  switch (floor) {
    case NoiseFloor::f32_run:
      return "f32";
    case NoiseFloor::second_kernels:
      return kSecondBaseline;
    case NoiseFloor::none:
      break;
  }
  return {};
}

// In the plan's order, then what is among the pictures besides.
std::vector<std::string> compared_schemes(const Results& results) {
  std::vector<std::string> schemes;
  const auto add = [&](const std::string& scheme) {
    if (scheme != kBaseline && scheme != kSecondBaseline &&
        std::find(schemes.begin(), schemes.end(), scheme) == schemes.end())
      schemes.push_back(scheme);
  };
  for (const std::string& scheme : results.plan.schemes) add(scheme);
  const bool f32_is_floor_only = results.noise_floor == NoiseFloor::f32_run;
  for (const PictureResult& picture : results.pictures)
    if (!f32_is_floor_only || picture.scheme != "f32") add(picture.scheme);
  return schemes;
}

}  // namespace

bool is_flagged(const PictureResult& picture) {
  return picture.has_nan || picture.black || picture.constant;
}

bool is_compared(const PictureResult& picture) {
  return !is_flagged(picture) && picture.flip && std::isfinite(*picture.flip);
}

void analyse_quality(Analysis& analysis) {
  const Results& results = *analysis.results;
  if (results.environment.synthetic) {
    analysis.quality_state = QualityState::not_applicable;
    return;
  }
  std::set<PictureKey> flagged_baseline;
  for (const PictureResult* picture : pictures_of(results, kBaseline))
    if (is_flagged(*picture)) flagged_baseline.insert(key_of(*picture));
  const auto quality = [&](std::string_view scheme) {
    return quality_of(std::string(scheme), pictures_of(results, scheme), flagged_baseline);
  };

  const std::string_view floor = floor_scheme(results.noise_floor);
  if (!floor.empty()) {
    analysis.noise_floor = quality(floor);
    if (!analysis.noise_floor->flip) analysis.noise_floor.reset();
  }
  std::vector<const PictureResult*> seeds;
  for (const PictureResult& picture : results.seed_change) seeds.push_back(&picture);
  if (!seeds.empty()) analysis.seed_change = quality_of("bf16, another seed", seeds, {});

  for (const std::string& scheme : compared_schemes(results)) {
    SchemeQuality entry = quality(scheme);
    if (entry.pictures == 0) continue;
    if (entry.flip) analysis.quality_state = QualityState::measured;
    if (analysis.noise_floor && scheme != floor)
      entry.above_floor = compare_quality(results, scheme, floor);
    analysis.quality.push_back(std::move(entry));
  }
}

Comparison compare_quality(const Results& results, std::string_view candidate,
                           std::string_view reference) {
  std::map<PictureKey, double> theirs;
  for (const PictureResult* picture : pictures_of(results, reference))
    if (is_compared(*picture)) theirs[key_of(*picture)] = *picture->flip;
  std::vector<double> a, b;
  for (const PictureResult* picture : pictures_of(results, candidate)) {
    const auto other = theirs.find(key_of(*picture));
    if (!is_compared(*picture) || other == theirs.end()) continue;
    a.push_back(*picture->flip);
    b.push_back(other->second);
  }
  return compare_paired(a, b, Scale::difference, Center::mean, Goal::lower);
}

}  // namespace fluxq::report

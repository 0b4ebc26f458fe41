#include "report/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "image/check.h"
#include "image/png.h"
#include "metrics/flip.h"
#include "metrics/psnr.h"
#include "metrics/ssim.h"
#include "metrics/statistics.h"
#include "report/json.h"
#include "report/picture_tools.h"

namespace fluxq::report {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> png_names(const fs::path& folder) {
  std::vector<std::string> names = list_folder(folder);
  std::erase_if(names, [&](const std::string& name) {
    return fs::path(name).extension() != ".png" || !fs::is_regular_file(folder / name);
  });
  return names;
}

std::vector<std::string> difference(const std::vector<std::string>& a,
                                    const std::vector<std::string>& b) {
  std::vector<std::string> result;
  std::set_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(result));
  return result;
}

struct Means {
  int64_t pairs = 0, identical = 0;
  std::optional<double> psnr_db, ssim, flip;  // PSNR of pairs that are not identical
};

Means means_of(const FolderComparison& comparison) {
  Means means;
  std::vector<double> psnr, ssim, flip;
  for (const PictureComparison& pair : comparison.pairs) {
    if (!pair.problem.empty()) continue;
    ++means.pairs;
    flip.push_back(pair.flip);
    if (pair.ssim) ssim.push_back(*pair.ssim);
    if (std::isinf(pair.psnr_db))
      ++means.identical;
    else
      psnr.push_back(pair.psnr_db);
  }
  const auto mean_of = [](const std::vector<double>& values) {
    return values.empty() ? std::nullopt : std::optional(mean(values));
  };
  means.psnr_db = mean_of(psnr);
  means.ssim = mean_of(ssim);
  means.flip = mean_of(flip);
  return means;
}

std::string row(std::string_view name, size_t name_width, std::string_view psnr,
                std::optional<double> ssim, std::optional<double> flip) {
  const auto figure = [](std::optional<double> value) {
    return value ? fmt::format("{:.6f}", *value) : std::string("-");
  };
  return fmt::format("{:<{}}  {:>10}  {:>9}  {:>9}  {:>7}\n", name, name_width, psnr, figure(ssim),
                     figure(flip), flip ? fmt::format("{:.2f} %", 100 * *flip) : "-");
}

std::string psnr_text(double psnr_db) {
  return std::isinf(psnr_db) ? "identical" : fmt::format("{:.3f} dB", psnr_db);
}

// A file name as one printable line.
std::string printable(const std::string& name) {
  return is_utf8(name) && !has_control_character(name) ? name : in_quotes(name);
}

}  // namespace

PictureComparison compare_pictures(const Image& a, const Image& b, std::string name) {
  check_same_size(a, b, name);
  PictureComparison result;
  result.name = std::move(name);
  result.width = a.width;
  result.height = a.height;
  result.psnr_db = psnr(a, b);
  if (std::min(a.width, a.height) >= kMinSsimSide) result.ssim = ssim(a, b);
  const Flip difference = fluxq::flip(a, b);
  result.flip = difference.mean;
  result.difference = colour_map(difference.map, a.width, a.height);
  return result;
}

FolderComparison compare_folders(const fs::path& a, const fs::path& b, const fs::path& differences,
                                 Progress* progress, const CancelToken* cancel) {
  const std::vector<std::string> in_a = png_names(a), in_b = png_names(b);
  std::vector<std::string> common;
  std::set_intersection(in_a.begin(), in_a.end(), in_b.begin(), in_b.end(),
                        std::back_inserter(common));
  if (common.empty())
    fail(ErrorCode::not_found, "{} and {}: expected .png files of the same name, found none",
         a.string(), b.string());
  FolderComparison comparison;
  comparison.only_a = difference(in_a, in_b);
  comparison.only_b = difference(in_b, in_a);
  if (progress != nullptr) progress->begin("compare", static_cast<int64_t>(common.size()));
  for (const std::string& name : common) {
    if (cancel != nullptr) cancel->check();
    PictureComparison pair;
    try {
      pair = compare_pictures(read_png(a / name).image, read_png(b / name).image, name);
    } catch (const Error& error) {
      if (error.code() == ErrorCode::out_of_memory_host) throw;
      pair.name = name;
      pair.problem = error.what();
    }
    if (!differences.empty() && pair.problem.empty())
      write_png(differences / name, pair.difference);
    pair.difference = {};
    comparison.pairs.push_back(std::move(pair));
    if (progress != nullptr) progress->update(static_cast<int64_t>(comparison.pairs.size()));
  }
  return comparison;
}

std::string to_text(const FolderComparison& comparison) {
  size_t width = 7;
  for (const PictureComparison& pair : comparison.pairs)
    width = std::max(width, printable(pair.name).size());
  std::string text = fmt::format("{:<{}}  {:>10}  {:>9}  {:>9}  {:>7}\n", "picture", width, "PSNR",
                                 "SSIM", "FLIP", "loss");
  for (const PictureComparison& pair : comparison.pairs)
    text += pair.problem.empty()
                ? row(printable(pair.name), width, psnr_text(pair.psnr_db), pair.ssim, pair.flip)
                : fmt::format("{:<{}}  {}\n", printable(pair.name), width, pair.problem);
  const Means means = means_of(comparison);
  if (means.pairs > 1)
    text += row("mean", width, means.psnr_db ? psnr_text(*means.psnr_db) : std::string("identical"),
                means.ssim, means.flip);
  if (means.pairs > 1 && means.identical > 0 && means.psnr_db)
    text += fmt::format("Identical, and not in the mean PSNR: {} of {} pairs.\n", means.identical,
                        means.pairs);
  for (const std::string& name : comparison.only_a)
    text += fmt::format("only in the first: {}\n", printable(name));
  for (const std::string& name : comparison.only_b)
    text += fmt::format("only in the second: {}\n", printable(name));
  return text;
}

Json to_json(const FolderComparison& comparison) {
  const auto optional_number = [](const std::optional<double>& value) {
    return value ? number(*value) : Json();
  };
  Json json = {
      {"pairs", Json::array()}, {"only_a", comparison.only_a}, {"only_b", comparison.only_b}};
  for (const PictureComparison& pair : comparison.pairs) {
    if (!pair.problem.empty()) {
      json["pairs"].push_back({{"name", pair.name}, {"problem", pair.problem}});
      continue;
    }
    json["pairs"].push_back(
        {{"name", pair.name},
         {"width", pair.width},
         {"height", pair.height},
         {"psnr_db", std::isinf(pair.psnr_db) ? Json("identical") : number(pair.psnr_db)},
         {"ssim", optional_number(pair.ssim)},
         {"flip", number(pair.flip)},
         {"quality_loss_percent", number(100 * pair.flip)}});
  }
  const Means means = means_of(comparison);
  json["mean"] = nullptr;
  if (means.flip)
    json["mean"] = {{"pairs", means.pairs},
                    {"identical", means.identical},
                    {"psnr_db", means.psnr_db ? number(*means.psnr_db) : Json("identical")},
                    {"ssim", optional_number(means.ssim)},
                    {"flip", number(*means.flip)},
                    {"quality_loss_percent", number(100 * *means.flip)}};
  return json;
}

}  // namespace fluxq::report

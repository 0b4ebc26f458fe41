/// Two pictures, or two folders of pictures, held against each other: what `fluxq compare` shows.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "fluxq/cancel.h"
#include "fluxq/image.h"
#include "fluxq/progress.h"

namespace fluxq::report {

struct PictureComparison {
  std::string name;
  int width = 0, height = 0;
  double psnr_db = 0;          ///< +infinity for equal pictures
  std::optional<double> ssim;  ///< nothing below 11 pixels wide or high
  double flip = 0;
  Image difference;     ///< the FLIP map in colour (picture_tools.h)
  std::string problem;  ///< why this pair could not be compared; then nothing else is set
};

/// `a` is the reference (FLIP and PSNR do not care). bad_argument naming both sizes if they differ.
PictureComparison compare_pictures(const Image& a, const Image& b, std::string name);

struct FolderComparison {
  std::vector<PictureComparison> pairs;  ///< by name
  std::vector<std::string> only_a, only_b;
};

/// All .png files of the same name; a pair that cannot be read or differs in size has a problem.
/// `difference` of each pair goes to `differences`/NAME unless that is empty, and is dropped.
/// not_found without a single common name; otherwise errors of list_folder, write_png; cancelled.
FolderComparison compare_folders(const std::filesystem::path& a, const std::filesystem::path& b,
                                 const std::filesystem::path& differences,
                                 Progress* progress = nullptr, const CancelToken* cancel = nullptr);

/// A table for people: a row per pair, then means where there are several.
std::string to_text(const FolderComparison& comparison);

/// {"pairs": [{name, width, height, psnr_db or "identical", ssim, flip, quality_loss_percent or
/// problem}], "mean": {...} or null, "only_a": [], "only_b": []}
Json to_json(const FolderComparison& comparison);

}  // namespace fluxq::report

/// The pictures of a report: for each scheme its worst, median and best picture beside bf16's with
/// the map of their difference and a zoom on the worst region, and all others small.
///
/// The sides are chosen from the number of pictures so that the page stays below its size limit
/// whatever the pictures show (a PNG is never much larger than its pixels).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "fluxq/cancel.h"
#include "fluxq/progress.h"
#include "report/analysis.h"
#include "report/document.h"

namespace fluxq::report {

/// A file to write beside report.md.
struct ExtraFile {
  std::string path;  ///< relative to the run's folder: "report/03-int8dq-worst-map.png"
  std::vector<std::byte> bytes;
};

struct Gallery {
  std::vector<Block> side_by_side;    ///< per scheme
  std::vector<Block> small;           ///< per prompt and seed
  std::vector<ExtraFile> files;       ///< maps and zooms for report.md
  std::vector<std::string> problems;  ///< sentences: a picture is missing, was changed, is corrupt
};

/// Pixels of all large and of all small pictures of a page, at most (3 bytes each).
struct GalleryBudget {
  int64_t large_pixels = 3'000'000;
  int64_t small_pixels = 1'200'000;
  int max_large_side = 384;
  int max_small_side = 96;
};

/// Reads the pictures that `analysis` names from `run`. Missing, changed and corrupt ones become
/// problems and empty frames. Errors: cancelled; out of memory.
Gallery make_gallery(const Analysis& analysis, const std::filesystem::path& run, Progress* progress,
                     const CancelToken* cancel, const GalleryBudget& budget = {});

/// Letters, digits, "-", "_" and "." of `name`, for a file name.
std::string slug(std::string_view name);

}  // namespace fluxq::report

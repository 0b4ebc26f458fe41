/// What a run still has to do, scheme by scheme: the units that a kill can cost one of.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "bench/results.h"

namespace fluxq {

/// A cell, or a picture of the quality part.
struct Unit {
  enum class Kind { cell, picture, seed_change } kind = Kind::cell;
  CellKey key;                 ///< of a picture: batch 1
  PictureResult picture = {};  ///< scheme, prompt, seed and size of a picture
  double work = 0;             ///< FLOPs of all its runs
  int attempts = 0;
};

/// "int8dq, batch 4, 256 x 256", "int8dq, picture of prompt 3, seed 0, 256 x 256".
std::string describe(const Unit& unit);

struct SchemeWork {
  std::string scheme;
  std::vector<Unit> units;  ///< in the order of working: small cells first, then pictures
};

struct WorkList {
  std::vector<SchemeWork> schemes;  ///< the baseline first, the noise floor last
  double all_work = 0;              ///< of the whole plan, done or not
  int cells = 0, pictures = 0;      ///< of the whole plan
};

/// Failed cells are tried again. A picture counts as done when its file is what was recorded; the
/// baseline's is drawn again where others still need its latents and they are gone. Pictures of
/// synthetic models show nothing and are not drawn. `run_flops`: of one run of a cell.
WorkList list_work(const Results& results, const std::filesystem::path& run_folder,
                   const std::function<double(const CellKey&)>& run_flops);

}  // namespace fluxq

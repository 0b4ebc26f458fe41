/// What a run has measured, in RUN/results.sqlite. Each write is one transaction, on the disk when
/// the function returns: a kill at any moment loses the cell in flight and nothing else.
/// The file is a rollback-journal database (not WAL), so that a finished run is one file that can
/// be copied and read from a read-only folder. Whatever is found under its name is checked before
/// it is believed: kind, version, schema word by word, SQLite's own check of the pages, and the
/// range of each value.
#pragma once

#include <filesystem>
#include <memory>
#include <string_view>

#include "bench/results.h"
#include "bench/sqlite.h"

namespace fluxq {

inline constexpr std::string_view kResultsFile = "results.sqlite";

/// All that is stored of a run. Cells of the plan that have not been measured are pending.
/// Errors: not_found without a run; corrupt_file for a torn or foreign database and for impossible
/// values; unsupported for one of a newer fluxq; io.
Results load_results(const std::filesystem::path& run_folder);

class Store {
 public:
  /// Opens the run's database, or makes an empty one; the folder must exist. Errors as
  /// load_results, and disk_full. The caller holds the run's lock.
  explicit Store(const std::filesystem::path& run_folder);

  /// False until begin().
  bool has_plan() const;
  Results load() const;

  // All: disk_full, io.
  void begin(const Environment& environment, const Plan& plan, NoiseFloor noise_floor);
  /// Goes on under another environment and plan. What no longer belongs to the plan stays stored,
  /// unseen by load(), unless it is forgotten.
  void accept(const std::vector<AcceptedChange>& changes, const Environment& environment,
              const Plan& plan, NoiseFloor noise_floor);
  /// Removes all cells, pictures and failures, after a copy of the database has been written beside
  /// it, whose name is returned.
  std::filesystem::path forget_measurements();
  /// Removes the pictures of one prompt, or of all (negative).
  void forget_pictures(int prompt);
  /// A done or failed cell with its samples; one of the same key is replaced.
  void save(const Cell& cell);
  void save(const PictureResult& picture);
  void save_seed_change(const PictureResult& picture);
  void save(const Failure& failure);

 private:
  std::filesystem::path path_;
  Database database_;
};

}  // namespace fluxq

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "bench/results_json.h"
#include "bench/store_rows.h"

namespace fluxq {
namespace {

constexpr int kMaxInt = std::numeric_limits<int>::max();
constexpr int64_t kMaxInt64 = std::numeric_limits<int64_t>::max();
constexpr int64_t kMinInt64 = std::numeric_limits<int64_t>::min();

Json read_object(const Database& database, const std::string& table) {
  Json object = Json::object();
  Statement rows(database, "SELECT key, value FROM " + table);
  while (rows.step())
    object[rows.text(0)] = parse_json(rows.text(1), fmt::format("{}: {}", database.name(), table));
  return object;
}

template <typename T, typename Read>
std::optional<T> optional_column(const Statement& row, int column, Read read) {
  if (row.is_null(column)) return std::nullopt;
  return read(column);
}

std::optional<double> optional_real(const Statement& row, int column) {
  return optional_column<double>(row, column, [&](int c) { return row.real(c); });
}

DeviceState read_state(const Statement& row) {
  return {.clock_mhz = optional_real(row, 2),
          .memory_clock_mhz = optional_real(row, 3),
          .temperature_c = optional_real(row, 4),
          .power_w = optional_real(row, 5),
          .other_processes =
              optional_column<int>(row, 6, [&](int c) { return row.small(c, 0, kMaxInt); }),
          .load_average = optional_real(row, 7)};
}

void read_details(const Database& database, int64_t id, Cell& cell) {
  const auto rows_of = [&](const std::string& table, const std::string& order) {
    return "SELECT * FROM " + table + " WHERE cell = ? ORDER BY " + order;
  };
  const std::map<std::string, std::vector<double>*> stages = {{"text", &cell.text_ms},
                                                              {"denoise", &cell.denoise_ms},
                                                              {"vae", &cell.vae_ms},
                                                              {"total", &cell.total_ms},
                                                              {"step", &cell.step_ms}};
  Statement samples(database, rows_of("samples", "stage, number"));
  samples.bind(id);
  while (samples.step()) {
    const auto stage = stages.find(samples.text(1));
    if (stage == stages.end())
      fail(ErrorCode::corrupt_file, "{}: samples: an unknown stage", database.name());
    stage->second->push_back(samples.number(3));
  }
  Statement memory(database, rows_of("memory", "number"));
  memory.bind(id);
  while (memory.step()) {
    cell.memory.push_back({.phase = memory.text(2),
                           .host_peak_bytes = memory.integer(3, 0, kMaxInt64),
                           .device_peak_bytes = optional_column<int64_t>(
                               memory, 4, [&](int c) { return memory.integer(c, 0, kMaxInt64); })});
  }
  Statement parts(database, rows_of("parts", "part"));
  parts.bind(id);
  while (parts.step()) cell.part_bytes[parts.text(1)] = parts.integer(2, 0, kMaxInt64);
  Statement states(database, rows_of("device_states", "moment"));
  states.bind(id);
  while (states.step())
    (states.text(1) == "before" ? cell.before : cell.after) = read_state(states);
  Statement notes(database, rows_of("notes", "number"));
  notes.bind(id);
  while (notes.step()) cell.notes.push_back(notes.text(2));
}

std::map<CellKey, Cell> read_cells(const Database& database) {
  std::map<CellKey, Cell> cells;
  Statement row(database, "SELECT * FROM cells");
  while (row.step()) {
    Cell cell;
    cell.key = {row.text(1), row.small(2, 1, kMaxInt), row.small(3, 1, kMaxInt),
                row.small(4, 1, kMaxInt)};
    const std::string status = row.text(5);
    if (status != "done" && status != "failed")
      fail(ErrorCode::corrupt_file, "{}: a cell's status: expected done or failed, got \"{}\"",
           database.name(), status);
    cell.status = status == "done" ? CellStatus::done : CellStatus::failed;
    cell.failure_code = row.text(6);
    cell.failure = row.text(7);
    cell.attempts = row.small(8, 0, kMaxInt);
    cell.warmups = row.small(9, 0, kMaxInt);
    cell.load_ms = row.number(10);
    cell.quantize_ms = row.number(11);
    cell.cold_ms = row.number(12);
    cell.flops = row.number(13);
    cell.weight_bytes_read = row.number(14);
    read_details(database, row.integer(0, kMinInt64, kMaxInt64), cell);
    cells.emplace(cell.key, std::move(cell));
  }
  return cells;
}

std::vector<PictureResult> read_pictures(const Database& database, std::string_view part,
                                         size_t prompts) {
  std::vector<PictureResult> pictures;
  Statement row(database,
                "SELECT * FROM pictures WHERE part = ? ORDER BY width, height, prompt, seed");
  row.bind(part);
  Statement drift(database, "SELECT relative FROM drift WHERE picture = ? ORDER BY step");
  while (row.step()) {
    PictureResult picture{.scheme = row.text(2),
                          .prompt = row.small(3, 0, kMaxInt),
                          .seed = static_cast<uint64_t>(row.integer(4, kMinInt64, kMaxInt64)),
                          .width = row.small(5, 1, kMaxInt),
                          .height = row.small(6, 1, kMaxInt),
                          .file = row.text(7),
                          .sha256 = row.text(8),
                          .has_nan = row.small(9, 0, 1) == 1,
                          .black = row.small(10, 0, 1) == 1,
                          .constant = row.small(11, 0, 1) == 1,
                          .psnr_db = optional_real(row, 12),
                          .ssim = optional_real(row, 13),
                          .flip = optional_real(row, 14),
                          .latent_drift = {}};
    if (!picture.file.empty() && !is_inside_run(picture.file))
      fail(ErrorCode::corrupt_file,
           "{}: a picture's file: expected a path inside the run's folder, got \"{}\"",
           database.name(), picture.file);
    drift.bind(row.integer(0, kMinInt64, kMaxInt64));
    while (drift.step()) picture.latent_drift.push_back(drift.number(0));
    drift.run();
    if (static_cast<size_t>(picture.prompt) < prompts) pictures.push_back(std::move(picture));
  }
  return pictures;
}

/// The plan's pictures, scheme by scheme; those of f32, where it is the noise floor, come last.
std::vector<PictureResult> in_plan_order(std::vector<PictureResult> pictures, const Plan& plan) {
  std::vector<std::string> schemes = plan.schemes;
  if (std::find(schemes.begin(), schemes.end(), "f32") == schemes.end()) schemes.push_back("f32");
  const auto place = [](const auto& list, const auto& value) {
    return std::find(list.begin(), list.end(), value) - list.begin();
  };
  std::erase_if(pictures, [&](const PictureResult& p) {
    return place(schemes, p.scheme) == std::ssize(schemes) ||
           place(plan.sizes, std::pair(p.width, p.height)) == std::ssize(plan.sizes) ||
           place(plan.seeds, p.seed) == std::ssize(plan.seeds);
  });
  const auto key = [&](const PictureResult& p) {
    return std::tuple(place(schemes, p.scheme), place(plan.sizes, std::pair(p.width, p.height)),
                      p.prompt, place(plan.seeds, p.seed));
  };
  std::stable_sort(pictures.begin(), pictures.end(),
                   [&](const auto& a, const auto& b) { return key(a) < key(b); });
  return pictures;
}

}  // namespace

std::vector<CellKey> cells_of(const Plan& plan) {
  std::vector<CellKey> keys;
  for (const std::string& scheme : plan.schemes)
    for (const auto& [width, height] : plan.sizes)
      for (int batch : plan.batches) keys.push_back({scheme, batch, width, height});
  return keys;
}

Results read_results(const Database& database) {
  const Json environment = read_object(database, "environment");
  Json plan = read_object(database, "plan");
  if (plan.empty())
    fail(ErrorCode::not_found, "{}: expected the results of a fluxq bench run, found none",
         database.name());
  Results results;
  results.environment = environment_from_json(environment, database.name() + ": environment");
  results.plan = plan_from_json(plan, database.name() + ": plan");
  results.noise_floor = noise_floor_from(require_string(plan, "noise_floor", database.name()),
                                         database.name() + ": plan: noise_floor");
  std::map<CellKey, Cell> cells = read_cells(database);
  for (const CellKey& key : cells_of(results.plan)) {
    const auto found = cells.find(key);
    if (found == cells.end()) {
      results.cells.emplace_back().key = key;
    } else {
      results.cells.push_back(std::move(found->second));
    }
  }
  const size_t prompts = results.plan.prompts.size();
  results.pictures = in_plan_order(read_pictures(database, kQuality, prompts), results.plan);
  results.seed_change = read_pictures(database, kSeedChange, prompts);
  Statement failure(database, "SELECT * FROM failures ORDER BY id");
  while (failure.step()) {
    results.failures.push_back({.key = {failure.text(1), failure.small(2, 0, kMaxInt),
                                        failure.small(3, 0, kMaxInt), failure.small(4, 0, kMaxInt)},
                                .attempt = failure.small(5, 0, kMaxInt),
                                .code = failure.text(6),
                                .sentence = failure.text(7),
                                .time = failure.text(8)});
  }
  Statement change(database, "SELECT * FROM accepted_changes ORDER BY id");
  while (change.step()) {
    results.accepted_changes.push_back({.what = change.text(1),
                                        .before = change.text(2),
                                        .after = change.text(3),
                                        .time = change.text(4)});
  }
  return results;
}

}  // namespace fluxq

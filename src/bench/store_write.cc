#include <limits>

#include "base/error.h"
#include "bench/results_json.h"
#include "bench/store_rows.h"

namespace fluxq {
namespace {

constexpr int64_t kMaxInt64 = std::numeric_limits<int64_t>::max();

void write_object(const Database& database, const std::string& table, const Json& object) {
  database.execute("DELETE FROM " + table);
  Statement insert(database, "INSERT INTO " + table + " VALUES(?, ?)");
  for (const auto& [key, value] : object.items()) insert.bind(key).bind(value.dump()).run();
}

void write_samples(const Database& database, int64_t cell, std::string_view stage,
                   const std::vector<double>& samples) {
  Statement insert(database, "INSERT INTO samples VALUES(?, ?, ?, ?)");
  for (size_t i = 0; i < samples.size(); ++i)
    insert.bind(cell).bind(stage).bind(static_cast<int64_t>(i)).bind(samples[i]).run();
}

void write_state(const Database& database, int64_t cell, std::string_view moment,
                 const DeviceState& state) {
  Statement insert(database, "INSERT INTO device_states VALUES(?, ?, ?, ?, ?, ?, ?, ?)");
  insert.bind(cell)
      .bind(moment)
      .bind(state.clock_mhz)
      .bind(state.memory_clock_mhz)
      .bind(state.temperature_c)
      .bind(state.power_w)
      .bind(state.other_processes)
      .bind(state.load_average)
      .run();
}

int64_t last_id(const Database& database) {
  Statement row(database, "SELECT last_insert_rowid()");
  row.step();
  return row.integer(0, 0, kMaxInt64);
}

}  // namespace

void write_plan(const Database& database, const Environment& environment, const Plan& plan,
                NoiseFloor noise_floor) {
  write_object(database, "environment", to_json(environment));
  Json json = to_json(plan);
  json["noise_floor"] = to_string(noise_floor);
  write_object(database, "plan", json);
}

void write_cell(const Database& database, const Cell& cell) {
  const CellKey& key = cell.key;
  Statement(database,
            "DELETE FROM cells WHERE scheme = ? AND batch = ? AND width = ? AND height = ?")
      .bind(key.scheme)
      .bind(key.batch)
      .bind(key.width)
      .bind(key.height)
      .run();
  Statement(database, "INSERT INTO cells VALUES(NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .bind(key.scheme)
      .bind(key.batch)
      .bind(key.width)
      .bind(key.height)
      .bind(to_string(cell.status))
      .bind(cell.failure_code)
      .bind(cell.failure)
      .bind(cell.attempts)
      .bind(cell.warmups)
      .bind(cell.load_ms)
      .bind(cell.quantize_ms)
      .bind(cell.cold_ms)
      .bind(cell.flops)
      .bind(cell.weight_bytes_read)
      .run();
  const int64_t id = last_id(database);
  write_samples(database, id, "text", cell.text_ms);
  write_samples(database, id, "denoise", cell.denoise_ms);
  write_samples(database, id, "vae", cell.vae_ms);
  write_samples(database, id, "total", cell.total_ms);
  write_samples(database, id, "step", cell.step_ms);
  Statement memory(database, "INSERT INTO memory VALUES(?, ?, ?, ?, ?)");
  for (size_t i = 0; i < cell.memory.size(); ++i) {
    memory.bind(id)
        .bind(static_cast<int64_t>(i))
        .bind(cell.memory[i].phase)
        .bind(cell.memory[i].host_peak_bytes)
        .bind(cell.memory[i].device_peak_bytes)
        .run();
  }
  Statement parts(database, "INSERT INTO parts VALUES(?, ?, ?)");
  for (const auto& [part, bytes] : cell.part_bytes) parts.bind(id).bind(part).bind(bytes).run();
  write_state(database, id, "before", cell.before);
  write_state(database, id, "after", cell.after);
  Statement notes(database, "INSERT INTO notes VALUES(?, ?, ?)");
  for (size_t i = 0; i < cell.notes.size(); ++i)
    notes.bind(id).bind(static_cast<int64_t>(i)).bind(cell.notes[i]).run();
}

void write_picture(const Database& database, std::string_view part, const PictureResult& picture) {
  const auto seed = static_cast<int64_t>(picture.seed);
  Statement(database,
            "DELETE FROM pictures WHERE part = ? AND scheme = ? AND prompt = ? AND seed = ? AND "
            "width = ? AND height = ?")
      .bind(part)
      .bind(picture.scheme)
      .bind(picture.prompt)
      .bind(seed)
      .bind(picture.width)
      .bind(picture.height)
      .run();
  Statement(database, "INSERT INTO pictures VALUES(NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .bind(part)
      .bind(picture.scheme)
      .bind(picture.prompt)
      .bind(seed)
      .bind(picture.width)
      .bind(picture.height)
      .bind(picture.file)
      .bind(picture.sha256)
      .bind(int{picture.has_nan})
      .bind(int{picture.black})
      .bind(int{picture.constant})
      .bind(picture.psnr_db)
      .bind(picture.ssim)
      .bind(picture.flip)
      .run();
  const int64_t id = last_id(database);
  Statement drift(database, "INSERT INTO drift VALUES(?, ?, ?)");
  for (size_t i = 0; i < picture.latent_drift.size(); ++i)
    drift.bind(id).bind(static_cast<int64_t>(i)).bind(picture.latent_drift[i]).run();
}

void write_failure(const Database& database, const Failure& failure) {
  Statement(database, "INSERT INTO failures VALUES(NULL, ?, ?, ?, ?, ?, ?, ?, ?)")
      .bind(failure.key.scheme)
      .bind(failure.key.batch)
      .bind(failure.key.width)
      .bind(failure.key.height)
      .bind(failure.attempt)
      .bind(failure.code)
      .bind(failure.sentence)
      .bind(failure.time)
      .run();
}

void write_change(const Database& database, const AcceptedChange& change) {
  Statement(database, "INSERT INTO accepted_changes VALUES(NULL, ?, ?, ?, ?)")
      .bind(change.what)
      .bind(change.before)
      .bind(change.after)
      .bind(change.time)
      .run();
}

}  // namespace fluxq

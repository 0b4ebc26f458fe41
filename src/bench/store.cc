#include "bench/store.h"

#include <limits>

#include "base/error.h"
#include "bench/store_rows.h"

namespace fluxq {
namespace {

namespace fs = std::filesystem;

constexpr int kApplicationId = 0x466c7851;  // "FlxQ"
constexpr int kSchemaVersion = 1;
constexpr int64_t kMaxInt64 = std::numeric_limits<int64_t>::max();
constexpr int64_t kMinInt64 = std::numeric_limits<int64_t>::min();

// Values of `environment` and `plan` are JSON. A seed is an unsigned number in a signed column.
constexpr const char* kSchema = R"sql(
CREATE TABLE environment(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE plan(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE cells(
  id INTEGER PRIMARY KEY, scheme TEXT NOT NULL, batch INTEGER NOT NULL, width INTEGER NOT NULL,
  height INTEGER NOT NULL, status TEXT NOT NULL, failure_code TEXT NOT NULL, failure TEXT NOT NULL,
  attempts INTEGER NOT NULL, warmups INTEGER NOT NULL, load_ms REAL NOT NULL,
  quantize_ms REAL NOT NULL, cold_ms REAL NOT NULL, flops REAL NOT NULL,
  weight_bytes_read REAL NOT NULL, UNIQUE(scheme, batch, width, height)) STRICT;
CREATE TABLE samples(
  cell INTEGER NOT NULL REFERENCES cells ON DELETE CASCADE, stage TEXT NOT NULL,
  number INTEGER NOT NULL, ms REAL NOT NULL, PRIMARY KEY(cell, stage, number)) STRICT;
CREATE TABLE memory(
  cell INTEGER NOT NULL REFERENCES cells ON DELETE CASCADE, number INTEGER NOT NULL,
  phase TEXT NOT NULL, host_peak_bytes INTEGER NOT NULL, device_peak_bytes INTEGER,
  PRIMARY KEY(cell, number)) STRICT;
CREATE TABLE parts(
  cell INTEGER NOT NULL REFERENCES cells ON DELETE CASCADE, part TEXT NOT NULL,
  bytes INTEGER NOT NULL, PRIMARY KEY(cell, part)) STRICT;
CREATE TABLE device_states(
  cell INTEGER NOT NULL REFERENCES cells ON DELETE CASCADE, moment TEXT NOT NULL, clock_mhz REAL,
  memory_clock_mhz REAL, temperature_c REAL, power_w REAL, other_processes INTEGER,
  load_average REAL, PRIMARY KEY(cell, moment)) STRICT;
CREATE TABLE notes(
  cell INTEGER NOT NULL REFERENCES cells ON DELETE CASCADE, number INTEGER NOT NULL,
  note TEXT NOT NULL, PRIMARY KEY(cell, number)) STRICT;
CREATE TABLE pictures(
  id INTEGER PRIMARY KEY, part TEXT NOT NULL, scheme TEXT NOT NULL, prompt INTEGER NOT NULL,
  seed INTEGER NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL, file TEXT NOT NULL,
  sha256 TEXT NOT NULL, has_nan INTEGER NOT NULL, black INTEGER NOT NULL,
  constant INTEGER NOT NULL, psnr_db REAL, ssim REAL, flip REAL,
  UNIQUE(part, scheme, prompt, seed, width, height)) STRICT;
CREATE TABLE drift(
  picture INTEGER NOT NULL REFERENCES pictures ON DELETE CASCADE, step INTEGER NOT NULL,
  relative REAL NOT NULL, PRIMARY KEY(picture, step)) STRICT;
CREATE TABLE failures(
  id INTEGER PRIMARY KEY, scheme TEXT NOT NULL, batch INTEGER NOT NULL, width INTEGER NOT NULL,
  height INTEGER NOT NULL, attempt INTEGER NOT NULL, code TEXT NOT NULL, sentence TEXT NOT NULL,
  time TEXT NOT NULL) STRICT;
CREATE TABLE accepted_changes(
  id INTEGER PRIMARY KEY, what TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL,
  time TEXT NOT NULL) STRICT;
)sql";

std::string schema_of(const Database& database) {
  Statement rows(database, "SELECT name, sql FROM sqlite_schema WHERE sql NOT NULL ORDER BY name");
  std::string schema;
  while (rows.step()) schema += rows.text(0) + " " + rows.text(1) + "\n";
  return schema;
}

int64_t pragma(const Database& database, const std::string& name) {
  Statement row(database, "PRAGMA " + name);
  row.step();
  return row.integer(0, kMinInt64, kMaxInt64);
}

/// Believes the file only if it is ours, of this version, and whole.
void check_database(const Database& database) {
  const std::string& name = database.name();
  if (pragma(database, "application_id") != kApplicationId)
    fail(ErrorCode::corrupt_file,
         "{}: expected the results of a fluxq bench run, got another database", name);
  const int64_t version = pragma(database, "user_version");
  if (version > kSchemaVersion)
    fail(ErrorCode::unsupported,
         "{}: expected results of version {} or older, got version {}, written by a newer fluxq",
         name, kSchemaVersion, version);
  const Database fresh({}, Database::Mode::create);
  fresh.execute(kSchema);
  if (version != kSchemaVersion || schema_of(database) != schema_of(fresh))
    fail(ErrorCode::corrupt_file, "{}: expected the tables of a fluxq bench run, got others", name);
  // SQLite takes a last page that is cut for a whole one.
  std::error_code error;
  if (fs::file_size(name, error) % static_cast<uint64_t>(pragma(database, "page_size")) != 0)
    fail(ErrorCode::corrupt_file, "{}: the database is cut off", name);
  Statement check(database, "PRAGMA quick_check(1)");
  if (!check.step() || check.text(0) != "ok")
    fail(ErrorCode::corrupt_file, "{}: the database is damaged: {}", name, check.text(0));
}

/// Nothing was ever committed: what a kill during the creation leaves. SQLite, when asked, first
/// takes back what was half-written.
bool is_empty(const Database& database) { return pragma(database, "page_count") == 0; }

void refuse_other_than_file(const fs::path& path) {
  std::error_code error;
  if (fs::exists(path, error) && !fs::is_regular_file(path, error))
    fail(ErrorCode::bad_argument, "{}: expected a file", path.string());
}

[[noreturn]] void fail_missing(const fs::path& path) {
  fail(ErrorCode::not_found, "{}: expected the results of a fluxq bench run, found none",
       path.string());
}

Database open_existing(const fs::path& path) {
  std::error_code error;
  if (!fs::exists(path, error)) fail_missing(path);
  refuse_other_than_file(path);
  Database database(path, Database::Mode::read);
  if (is_empty(database)) fail_missing(path);
  check_database(database);
  return database;
}

Database open_or_create(const fs::path& path) {
  refuse_other_than_file(path);
  Database database(path, Database::Mode::create);
  if (!is_empty(database)) {
    check_database(database);
    return database;
  }
  Transaction transaction(database);
  database.execute(kSchema);
  database.execute(fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {};",
                               kApplicationId, kSchemaVersion));
  transaction.commit();
  return database;
}

}  // namespace

Results load_results(const fs::path& run_folder) {
  std::error_code error;
  if (!fs::is_directory(run_folder, error))
    fail(ErrorCode::not_found, "{}: expected the folder of a fluxq bench run, found none",
         run_folder.string());
  const Database database = open_existing(run_folder / kResultsFile);
  database.execute("BEGIN");  // one state, should a run be writing
  return read_results(database);
}

Store::Store(const fs::path& run_folder)
    : path_(run_folder / kResultsFile), database_(open_or_create(path_)) {
  // EXTRA: the journal's removal, which is the commit, is on the disk too.
  database_.execute(
      "PRAGMA journal_mode = DELETE; PRAGMA synchronous = EXTRA; PRAGMA foreign_keys = ON;");
}

bool Store::has_plan() const {
  Statement row(database_, "SELECT count(*) FROM plan");
  row.step();
  return row.integer(0, 0, kMaxInt64) > 0;
}

Results Store::load() const { return read_results(database_); }

void Store::begin(const Environment& environment, const Plan& plan, NoiseFloor noise_floor) {
  accept({}, environment, plan, noise_floor);
}

void Store::accept(const std::vector<AcceptedChange>& changes, const Environment& environment,
                   const Plan& plan, NoiseFloor noise_floor) {
  Transaction transaction(database_);
  write_plan(database_, environment, plan, noise_floor);
  for (const AcceptedChange& change : changes) write_change(database_, change);
  transaction.commit();
}

fs::path Store::forget_measurements() {
  fs::path copy;
  std::error_code error;
  for (int i = 1; copy.empty() || fs::exists(copy, error); ++i)
    copy = path_.parent_path() / fmt::format("results.before-{}.sqlite", i);
  Statement(database_, "VACUUM INTO ?").bind(copy.string()).run();
  Transaction transaction(database_);
  database_.execute("DELETE FROM cells; DELETE FROM pictures; DELETE FROM failures;");
  transaction.commit();
  return copy;
}

void Store::forget_pictures(int prompt) {
  Transaction transaction(database_);
  Statement(database_, "DELETE FROM pictures WHERE prompt = ?1 OR ?1 < 0").bind(prompt).run();
  transaction.commit();
}

void Store::save(const Cell& cell) {
  Transaction transaction(database_);
  write_cell(database_, cell);
  transaction.commit();
}

void Store::save(const PictureResult& picture) {
  Transaction transaction(database_);
  write_picture(database_, kQuality, picture);
  transaction.commit();
}

void Store::save_seed_change(const PictureResult& picture) {
  Transaction transaction(database_);
  write_picture(database_, kSeedChange, picture);
  transaction.commit();
}

void Store::save(const Failure& failure) {
  Transaction transaction(database_);
  write_failure(database_, failure);
  transaction.commit();
}

}  // namespace fluxq

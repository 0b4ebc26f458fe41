#include "bench/sqlite.h"

#include <sqlite3.h>

#include <cmath>
#include <utility>

#include "base/error.h"
#include "base/text.h"

namespace fluxq {
namespace {

// "Out of memory" is SQLite's word also for sizes in a damaged file that cannot be, for which it
// asks nobody. Its allocator knows which of the two it is.
sqlite3_mem_methods allocator;
thread_local bool allocation_failed = false;

void* note(void* memory) {
  allocation_failed |= memory == nullptr;
  return memory;
}
void* allocate(int bytes) { return note(allocator.xMalloc(bytes)); }
void* reallocate(void* memory, int bytes) { return note(allocator.xRealloc(memory, bytes)); }

/// False where somebody else has begun to use SQLite in this process.
bool watch_allocator() {
  static const bool watched = [] {
    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &allocator);
    sqlite3_mem_methods methods = allocator;
    methods.xMalloc = allocate;
    methods.xRealloc = reallocate;
    return sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) == SQLITE_OK;
  }();
  return watched;
}

ErrorCode error_code(int result) {
  // SQLite knows ENOSPC only; a quota and a file size limit reach it as a failed write.
  if (result == SQLITE_IOERR_WRITE) return ErrorCode::disk_full;
  switch (result & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
    case SQLITE_ERROR:     // a table or column that is not there
    case SQLITE_MISMATCH:  // a value that its column cannot hold
    case SQLITE_CONSTRAINT:
      return ErrorCode::corrupt_file;
    case SQLITE_FULL:
      return ErrorCode::disk_full;
    case SQLITE_NOMEM:
      return ErrorCode::out_of_memory_host;
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
      return ErrorCode::internal;
    default:
      return ErrorCode::io;
  }
}

}  // namespace

Database::Database(const std::filesystem::path& path, Mode mode)
    : name_(path.empty() ? "a database in memory" : path.string()) {
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_PRIVATECACHE |
                    (mode == Mode::create ? SQLITE_OPEN_CREATE : 0);
  watch_allocator();
  const int result =
      sqlite3_open_v2(path.empty() ? ":memory:" : path.c_str(), &handle_, flags, nullptr);
  try {
    check(result, "opening");
    sqlite3_extended_result_codes(handle_, 1);
    sqlite3_busy_timeout(handle_, 10'000);  // a report is read while a run writes
    sqlite3_db_config(handle_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    execute("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;");
  } catch (...) {
    sqlite3_close(handle_);
    throw;
  }
}

Database::Database(Database&& other) noexcept
    : handle_(std::exchange(other.handle_, nullptr)), name_(std::move(other.name_)) {}

Database::~Database() { sqlite3_close(handle_); }

void Database::execute(const std::string& sql) const {
  check(sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr), "running a statement");
}

void Database::check(int result, std::string_view what) const {
  const bool has_memory = watch_allocator() && !std::exchange(allocation_failed, false);
  if (result == SQLITE_OK || result == SQLITE_ROW || result == SQLITE_DONE) return;
  if (result == SQLITE_NOMEM && has_memory)
    fail(ErrorCode::corrupt_file, "{}: {}: a size in it cannot be", name_, what);
  const ErrorCode code = error_code(result);
  fail(code, "{}: {}: {}", name_, what, handle_ ? sqlite3_errmsg(handle_) : sqlite3_errstr(result));
}

Statement::Statement(const Database& database, const std::string& sql) : database_(database) {
  database.check(sqlite3_prepare_v2(database.handle(), sql.c_str(), static_cast<int>(sql.size()),
                                    &handle_, nullptr),
                 "reading its tables");
}

Statement::~Statement() { sqlite3_finalize(handle_); }

Statement& Statement::bind(int64_t value) {
  database_.check(sqlite3_bind_int64(handle_, ++bound_, value), "binding");
  return *this;
}

Statement& Statement::bind(double value) {
  if (std::isnan(value)) fail(ErrorCode::internal, "{}: a NaN was to be stored", database_.name());
  database_.check(sqlite3_bind_double(handle_, ++bound_, value), "binding");
  return *this;
}

Statement& Statement::bind(std::string_view text) {
  database_.check(sqlite3_bind_text(handle_, ++bound_, text.data(), static_cast<int>(text.size()),
                                    SQLITE_TRANSIENT),
                  "binding");
  return *this;
}

Statement& Statement::bind_null() {
  database_.check(sqlite3_bind_null(handle_, ++bound_), "binding");
  return *this;
}

bool Statement::step() {
  const int result = sqlite3_step(handle_);
  database_.check(result, "reading or writing");
  return result == SQLITE_ROW;
}

void Statement::run() {
  while (step()) {
  }
  sqlite3_reset(handle_);
  bound_ = 0;
}

bool Statement::is_null(int column) const {
  return sqlite3_column_type(handle_, column) == SQLITE_NULL;
}

void Statement::fail_value(int column, std::string_view expected) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(handle_, column));
  fail(ErrorCode::corrupt_file, "{}: {}: expected {}, got {}", database_.name(),
       sqlite3_column_name(handle_, column), expected, text ? in_quotes(text) : "nothing");
}

int64_t Statement::integer(int column, int64_t min, int64_t max) const {
  const int64_t value = sqlite3_column_int64(handle_, column);
  if (sqlite3_column_type(handle_, column) != SQLITE_INTEGER || value < min || value > max)
    fail_value(column, fmt::format("an integer from {} to {}", min, max));
  return value;
}

double Statement::real(int column) const {
  const int type = sqlite3_column_type(handle_, column);
  if (type != SQLITE_FLOAT && type != SQLITE_INTEGER) fail_value(column, "a number");
  return sqlite3_column_double(handle_, column);
}

double Statement::number(int column) const {
  const double value = real(column);
  if (!std::isfinite(value) || value < 0) fail_value(column, "a number not below 0");
  return value;
}

std::string Statement::text(int column) const {
  if (sqlite3_column_type(handle_, column) != SQLITE_TEXT) fail_value(column, "a text");
  const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(handle_, column));
  std::string value(bytes, static_cast<size_t>(sqlite3_column_bytes(handle_, column)));
  if (!is_utf8(value)) fail_value(column, "a text in UTF-8");
  return value;
}

Transaction::Transaction(const Database& database) : database_(database) {
  database_.execute("BEGIN IMMEDIATE");
}

Transaction::~Transaction() {
  // Some errors have already rolled back.
  if (open_ && sqlite3_get_autocommit(database_.handle()) == 0)
    sqlite3_exec(database_.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
}

void Transaction::commit() {
  database_.execute("COMMIT");
  open_ = false;
}

}  // namespace fluxq

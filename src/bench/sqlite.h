/// The little of SQLite that the store needs: owners for its handles, and its errors as fluxq's.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace fluxq {

/// One open database file. Errors of all uses name the file: corrupt_file (not a database, torn),
/// disk_full, io, out_of_memory_host.
class Database {
 public:
  enum class Mode { read, create };
  /// An empty path: a database in memory.
  Database(const std::filesystem::path& path, Mode mode);
  ~Database();
  Database(Database&& other) noexcept;
  Database& operator=(Database&&) = delete;

  /// One or more statements without results.
  void execute(const std::string& sql) const;
  sqlite3* handle() const { return handle_; }
  const std::string& name() const { return name_; }
  /// Throws the Error of SQLite's last result, unless `result` is a success.
  void check(int result, std::string_view what) const;

 private:
  sqlite3* handle_ = nullptr;
  std::string name_;
};

/// A prepared statement: bind in order, then step through the rows, reading columns by number.
class Statement {
 public:
  Statement(const Database& database, const std::string& sql);
  ~Statement();
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& bind(int64_t value);
  Statement& bind(int value) { return bind(int64_t{value}); }
  Statement& bind(double value);  ///< Error(internal) for NaN, which SQLite cannot hold
  Statement& bind(std::string_view text);
  Statement& bind(const char* text) { return bind(std::string_view(text)); }
  Statement& bind(const std::string& text) { return bind(std::string_view(text)); }
  template <typename T>
  Statement& bind(const std::optional<T>& value) {
    return value ? bind(*value) : bind_null();
  }

  /// True while there is a row.
  bool step();
  /// Runs a statement that gives no rows, and makes it ready to be bound again.
  void run();

  // Columns of the current row. corrupt_file for NULL or a value outside [min, max] or not UTF-8.
  int64_t integer(int column, int64_t min, int64_t max) const;
  int small(int column, int min, int max) const {
    return static_cast<int>(integer(column, min, max));
  }
  double number(int column) const;  ///< finite and not negative
  double real(int column) const;    ///< not NaN (SQLite has none)
  std::string text(int column) const;
  bool is_null(int column) const;

 private:
  Statement& bind_null();
  [[noreturn]] void fail_value(int column, std::string_view expected) const;

  const Database& database_;
  sqlite3_stmt* handle_ = nullptr;
  int bound_ = 0;
};

/// Everything until commit() happens as one, or, without it, not at all.
class Transaction {
 public:
  explicit Transaction(const Database& database);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit();

 private:
  const Database& database_;
  bool open_ = true;
};

}  // namespace fluxq

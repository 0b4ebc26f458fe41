#include "base/json.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/text.h"

namespace fluxq {
namespace {

// Builds the value event by event, checking the limits before each allocation.
class Builder : public nlohmann::json_sax<Json> {
 public:
  explicit Builder(const JsonLimits& limits) : limits_(limits) {}

  // Why the parser stopped, and before which byte.
  const std::string& problem() const { return problem_; }
  Json take() { return std::move(root_); }

  bool null() override { return add(nullptr) != nullptr; }
  bool boolean(bool value) override { return add(value) != nullptr; }
  bool number_integer(number_integer_t value) override { return add(value) != nullptr; }
  bool number_unsigned(number_unsigned_t value) override { return add(value) != nullptr; }
  bool number_float(number_float_t value, const string_t&) override {
    return add(value) != nullptr;
  }
  bool string(string_t& value) override { return add(std::move(value)) != nullptr; }
  bool binary(binary_t&) override { return stop("binary value"); }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    const auto [member, added] = open_.back()->get_ref<Json::object_t&>().try_emplace(name);
    if (!added) return stop(fmt::format("duplicate name {}", in_quotes(name)));
    member_ = &member->second;
    return true;
  }

  bool parse_error(std::size_t, const std::string&, const Json::exception& error) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error …"
    std::string_view text = error.what();
    if (const size_t bracket = text.find("] "); bracket != text.npos)
      text.remove_prefix(bracket + 2);
    if (text.starts_with("parse error at "))
      if (const size_t colon = text.find(": "); colon != text.npos) text.remove_prefix(colon + 2);
    const std::string shown = in_quotes(text, 240);
    return stop(shown.substr(1, shown.size() - 2));
  }

 private:
  bool stop(std::string problem) {
    problem_ = std::move(problem);
    return false;
  }

  Json* add(Json value) {
    if (++values_ > limits_.values) {
      stop(fmt::format("expected at most {} values", limits_.values));
      return nullptr;
    }
    if (open_.empty()) return &(root_ = std::move(value));
    if (open_.back()->is_object()) return &(*member_ = std::move(value));
    return &open_.back()->get_ref<Json::array_t&>().emplace_back(std::move(value));
  }

  bool open(Json container) {
    if (open_.size() >= static_cast<size_t>(limits_.depth))
      return stop(fmt::format("expected at most {} levels of nesting", limits_.depth));
    Json* added = add(std::move(container));
    if (added != nullptr) open_.push_back(added);
    return added != nullptr;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  const JsonLimits& limits_;
  Json root_;
  // Open containers, outermost first. The pointers stay valid: a container grows only while it is
  // the innermost one.
  std::vector<Json*> open_;
  Json* member_ = nullptr;  // the value that the last name is for
  uint64_t values_ = 0;
  std::string problem_;
};

// Reads from a string and counts, so that an error that the Builder finds has a position too.
struct CountingIterator {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  const char* at;
  const char** furthest;

  reference operator*() const { return *at; }
  CountingIterator& operator++() {
    *furthest = ++at;
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const CountingIterator& other) const { return at == other.at; }
  bool operator!=(const CountingIterator& other) const { return at != other.at; }
};

[[noreturn]] void fail_at(std::string_view text, size_t position, std::string_view where,
                          std::string_view problem) {
  const std::string_view before = text.substr(0, position);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
  fail(ErrorCode::corrupt_file, "{}: bad JSON near line {}, column {}: {}", where, line,
       position - line_start + 1, problem);
}

const Json& require_member(const Json& object, std::string_view key, std::string_view where,
                           std::string_view expected) {
  const Json* member = find_member(object, key, where);
  if (member == nullptr)
    fail(ErrorCode::corrupt_file, "{}: {}: expected {}, got nothing", where, key, expected);
  return *member;
}

[[noreturn]] void fail_type(const Json& value, std::string_view key, std::string_view where,
                            std::string_view expected) {
  fail(ErrorCode::corrupt_file, "{}: {}: expected {}, got {}", where, key, expected,
       describe(value));
}

bool is_given(const Json& object, std::string_view key, std::string_view where) {
  const Json* member = find_member(object, key, where);
  return member != nullptr && !member->is_null();
}

// The value as int64 if it is an integer within [min, max].
std::optional<int64_t> integer_within(const Json& value, int64_t min, int64_t max) {
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned() &&
      value.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
    return std::nullopt;
  const auto number = value.get<int64_t>();
  if (number < min || number > max) return std::nullopt;
  return number;
}

std::string integer_range(int64_t min, int64_t max) {
  return fmt::format("an integer in {} to {}", min, max);
}

}  // namespace

Json parse_json(std::string_view text, std::string_view where, const JsonLimits& limits) {
  if (text.size() > limits.bytes)
    fail(ErrorCode::corrupt_file, "{}: expected at most {} bytes of JSON, got {}", where,
         limits.bytes, text.size());
  if (text.starts_with("\xEF\xBB\xBF")) fail_at(text, 0, where, "byte order mark");
  // nlohmann takes a NUL for the end of the text and ignores what follows.
  if (const size_t nul = text.find('\0'); nul != text.npos) fail_at(text, nul, where, "NUL byte");
  Builder builder(limits);
  const char* furthest = text.data();
  const char* end = text.data() + text.size();
  if (!Json::sax_parse(CountingIterator{text.data(), &furthest}, CountingIterator{end, &furthest},
                       &builder))
    fail_at(text, static_cast<size_t>(furthest - text.data()), where, builder.problem());
  return builder.take();
}

const Json* find_member(const Json& object, std::string_view key, std::string_view where) {
  if (!object.is_object())
    fail(ErrorCode::corrupt_file, "{}: expected an object, got {}", where, describe(object));
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

int64_t require_int(const Json& object, std::string_view key, std::string_view where, int64_t min,
                    int64_t max) {
  const std::string expected = integer_range(min, max);
  const Json& value = require_member(object, key, where, expected);
  const std::optional<int64_t> number = integer_within(value, min, max);
  if (!number) fail_type(value, key, where, expected);
  return *number;
}

int64_t optional_int(const Json& object, std::string_view key, std::string_view where,
                     int64_t fallback, int64_t min, int64_t max) {
  return is_given(object, key, where) ? require_int(object, key, where, min, max) : fallback;
}

double require_number(const Json& object, std::string_view key, std::string_view where, double min,
                      double max) {
  const bool bounded =
      min > std::numeric_limits<double>::lowest() || max < std::numeric_limits<double>::max();
  const std::string expected =
      bounded ? fmt::format("a number in {} to {}", min, max) : std::string("a number");
  const Json& value = require_member(object, key, where, expected);
  if (!value.is_number()) fail_type(value, key, where, expected);
  const auto number = value.get<double>();
  if (!(number >= min && number <= max)) fail_type(value, key, where, expected);
  return number;
}

double optional_number(const Json& object, std::string_view key, std::string_view where,
                       double fallback, double min, double max) {
  return is_given(object, key, where) ? require_number(object, key, where, min, max) : fallback;
}

std::string require_string(const Json& object, std::string_view key, std::string_view where) {
  const Json& value = require_member(object, key, where, "a string");
  if (!value.is_string()) fail_type(value, key, where, "a string");
  return value.get<std::string>();
}

std::string optional_string(const Json& object, std::string_view key, std::string_view where,
                            std::string_view fallback) {
  return is_given(object, key, where) ? require_string(object, key, where) : std::string(fallback);
}

bool require_bool(const Json& object, std::string_view key, std::string_view where) {
  const Json& value = require_member(object, key, where, "true or false");
  if (!value.is_boolean()) fail_type(value, key, where, "true or false");
  return value.get<bool>();
}

bool optional_bool(const Json& object, std::string_view key, std::string_view where,
                   bool fallback) {
  return is_given(object, key, where) ? require_bool(object, key, where) : fallback;
}

std::vector<int64_t> require_ints(const Json& object, std::string_view key, std::string_view where,
                                  int64_t min, int64_t max, size_t max_size) {
  const std::string expected =
      fmt::format("a list of at most {} integers, each in {} to {}", max_size, min, max);
  const Json& value = require_member(object, key, where, expected);
  if (!value.is_array() || value.size() > max_size) fail_type(value, key, where, expected);
  std::vector<int64_t> numbers;
  for (const Json& element : value) {
    const std::optional<int64_t> number = integer_within(element, min, max);
    if (!number) fail_type(element, key, where, expected);
    numbers.push_back(*number);
  }
  return numbers;
}

std::string describe(const Json& value) {
  if (value.is_array()) return fmt::format("an array of {}", value.size());
  if (value.is_object()) return fmt::format("an object of {}", value.size());
  if (value.is_string()) return in_quotes(value.get_ref<const std::string&>(), 60);
  return value.dump();
}

}  // namespace fluxq

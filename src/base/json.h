/// JSON from outside: one strict parser with limits, and getters that say what is wrong where.
/// nlohmann's parser does the grammar; what it lets pass (duplicate names, a byte order mark, a NUL
/// as the end, any depth) is refused here, and none of its exceptions gets out. Depth matters
/// because nlohmann 3.11 recurses when it copies or dumps a value.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace fluxq {

/// Objects are sorted by name.
using Json = nlohmann::json;

struct JsonLimits {
  int depth = 64;             ///< nested arrays and objects; a bare {} has depth 1
  uint64_t bytes = 64 << 20;  ///< of the text
  uint64_t values = 4 << 20;  ///< of all kinds, containers included: bounds the memory
};

/// Parses one JSON value. `where` (a path) begins each message. Errors: corrupt_file, with line and
/// column, for all that RFC 8259 does not allow, and for duplicate names in one object, a byte
/// order mark, numbers that no double can hold, and anything above the limits.
Json parse_json(std::string_view text, std::string_view where, const JsonLimits& limits = {});

// Getters of a member of an object. A wrong type or range is corrupt_file "where: key: expected X,
// got Y". Numbers written 2.0 are no integers. optional_*: a missing or null member gives the
// fallback.

int64_t require_int(const Json& object, std::string_view key, std::string_view where, int64_t min,
                    int64_t max);
int64_t optional_int(const Json& object, std::string_view key, std::string_view where,
                     int64_t fallback, int64_t min, int64_t max);
/// Integers are numbers too. The parser has made sure that they are finite.
double require_number(const Json& object, std::string_view key, std::string_view where,
                      double min = std::numeric_limits<double>::lowest(),
                      double max = std::numeric_limits<double>::max());
double optional_number(const Json& object, std::string_view key, std::string_view where,
                       double fallback, double min = std::numeric_limits<double>::lowest(),
                       double max = std::numeric_limits<double>::max());
std::string require_string(const Json& object, std::string_view key, std::string_view where);
std::string optional_string(const Json& object, std::string_view key, std::string_view where,
                            std::string_view fallback);
bool require_bool(const Json& object, std::string_view key, std::string_view where);
bool optional_bool(const Json& object, std::string_view key, std::string_view where, bool fallback);
/// An array of integers within [min, max] and of at most `max_size` elements.
std::vector<int64_t> require_ints(const Json& object, std::string_view key, std::string_view where,
                                  int64_t min, int64_t max, size_t max_size = 64);

/// The member, or null if it is missing. corrupt_file if `object` is no object.
const Json* find_member(const Json& object, std::string_view key, std::string_view where);

/// A value as shown in a message: cut, one line, without recursion ("an array of 3 elements").
std::string describe(const Json& value);

}  // namespace fluxq

/// The JSON parser itself: what it takes can be written and read again, and stays the same.
#include "base/json.h"
#include "target.h"

namespace fluxq::fuzz {

void read(std::string_view input) {
  const Json json = parse_json(input, "input");
  const std::string text = json.dump();
  expect(parse_json(text, "again").dump() == text, "what was read can be written and read again");
}

std::string repaired(std::string input) { return input; }

}  // namespace fluxq::fuzz

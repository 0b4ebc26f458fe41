/// The database of a benchmark run.
#include "bench/store.h"
#include "target.h"

namespace fluxq::fuzz {

void read(std::string_view input) {
  static const Scratch scratch;
  scratch.put(std::string(kResultsFile).c_str(), input);
  const Results results = load_results(scratch.path());
  for (const Cell& cell : results.cells)
    expect(cell.key.batch > 0 && cell.key.width > 0, "a cell's numbers are possible");
}

std::string repaired(std::string input) { return input; }

}  // namespace fluxq::fuzz

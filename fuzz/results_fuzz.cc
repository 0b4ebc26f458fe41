/// The database of a benchmark run.
#include "base/error.h"
#include "bench/store.h"
#include "target.h"

namespace fluxq::fuzz {

void read(std::string_view input) {
  static const Scratch scratch;
  scratch.put(std::string(kResultsFile).c_str(), input);
  try {
    const Results results = load_results(scratch.path());
    for (const Cell& cell : results.cells)
      expect(cell.key.batch > 0 && cell.key.width > 0, "a cell's numbers are possible");
  } catch (const Error& error) {
    // Of sizes in a file that cannot be, SQLite says that memory ran out.
    if (error.code() != ErrorCode::out_of_memory_host) throw;
  }
}

std::string repaired(std::string input) { return input; }

}  // namespace fluxq::fuzz

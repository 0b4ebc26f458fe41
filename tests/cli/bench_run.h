/// A benchmark that takes a second or two: for the tests of `fluxq bench`.
#pragma once

#include <string>
#include <vector>

#include "base/test_support.h"
#include "program.h"

namespace fluxq::testing {

/// The options of a plan of 2 schemes x 2 batches and 3 x 2 pictures (f32's are the noise floor);
/// its file is written into `folder`.
inline std::vector<std::string> tiny_plan(const std::filesystem::path& folder) {
  const std::string file = (folder / "plan.json").string();
  write_test_file(file, R"({"schemes": ["int8dq"], "batches": [1, 2], "sizes": [32], "steps": 2,
      "prompts": ["red apple", "pizza"], "seeds": 1, "max_text_tokens": 8, "warmups": 0,
      "repeats": 2})");
  return {"--plan", file};
}

inline Outcome run_bench(const std::string& run, std::vector<std::string> arguments,
                         const RunOptions& options = {}) {
  arguments.insert(arguments.begin(), {"bench", "-o", run});
  return run_fluxq(arguments, options);
}

}  // namespace fluxq::testing

#include "checkpoint/expected.h"

#include <algorithm>
#include <set>

#include "base/text.h"

namespace fluxq {
namespace {

// Names worth an edit distance: it takes time in proportion to their number, which a file decides.
std::vector<std::string> comparable_names(const TensorSource& source, const std::string& name) {
  constexpr size_t kMost = 2000;
  std::vector<std::string> comparable;
  for (std::string& candidate : source.names()) {
    const size_t difference =
        std::max(candidate.size(), name.size()) - std::min(candidate.size(), name.size());
    if (difference <= name.size() / 3 + 2 && comparable.size() < kMost)
      comparable.push_back(std::move(candidate));
  }
  return comparable;
}

// What is wrong with the tensor, or nothing. `entry` may be null.
std::string problem_of(const ExpectedTensor& expected, const TensorEntry* entry) {
  if (entry == nullptr)
    return fmt::format("expected shape {}, got no such tensor.", to_string(expected.shape));
  if (entry->shape != expected.shape)
    return fmt::format("expected shape {}, got {}", to_string(expected.shape),
                       to_string(entry->shape));
  if (std::find(expected.dtypes.begin(), expected.dtypes.end(), entry->dtype) ==
      expected.dtypes.end()) {
    std::vector<std::string_view> names;
    for (const DType dtype : expected.dtypes) names.push_back(dtype_name(dtype));
    return fmt::format("expected dtype {}, got {}", fmt::join(names, " or "),
                       dtype_name(entry->dtype));
  }
  return "";
}

}  // namespace

std::vector<std::string> check_expected(const TensorSource& source,
                                        std::span<const ExpectedTensor> expected,
                                        std::span<const std::string_view> unused) {
  const std::string where = source.path().string();
  size_t wrong = 0;
  std::string first;
  std::set<std::string_view> known;
  for (const ExpectedTensor& tensor : expected) {
    known.insert(tensor.name);
    const TensorEntry* entry = source.find(tensor.name);
    const std::string problem = problem_of(tensor, entry);
    if (problem.empty() || ++wrong > 1) continue;
    first = fmt::format("{}: tensor {}: {}", where, in_quotes(tensor.name), problem);
    if (entry == nullptr) first += did_you_mean(tensor.name, comparable_names(source, tensor.name));
  }
  if (wrong > 1) first += fmt::format(" ({} tensors are wrong in all)", wrong);
  if (wrong > 0) fail(ErrorCode::corrupt_file, "{}", first);

  constexpr size_t kMostShown = 5;
  size_t extra = 0;
  std::string shown;
  for (const std::string& name : source.names()) {
    const auto begins_name = [&](std::string_view prefix) { return name.starts_with(prefix); };
    if (known.count(name) != 0 || std::any_of(unused.begin(), unused.end(), begins_name)) continue;
    if (++extra > kMostShown) continue;
    shown += (extra > 1 ? ", " : "") + in_quotes(name);
  }
  if (extra == 0) return {};
  return {fmt::format("{}: {} tensors are not used by this model: {}{}", where, extra, shown,
                      extra > kMostShown ? ", …" : "")};
}

}  // namespace fluxq

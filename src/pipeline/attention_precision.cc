#include "pipeline/attention_precision.h"

#include <algorithm>

#include "base/error.h"
#include "base/text.h"

namespace fluxq {
namespace {

constexpr int64_t kHeadColumns = 128;  // of the kernels for 8 bits (kernels/cuda)

}  // namespace

AttentionPrecision attention_precision(const std::string& name, Device device) {
  static const std::vector<std::string> names = {"bf16", "fp8", "int8"};  // in the enum's order
  const auto found = std::ranges::find(names, name);
  if (found == names.end()) {
    fail(ErrorCode::bad_argument, "attention: expected {}, got {}.{}", fmt::join(names, ", "),
         in_quotes(name), did_you_mean(name, names));
  }
  const auto precision = static_cast<AttentionPrecision>(found - names.begin());
  if (device == Device::cpu && precision != AttentionPrecision::bf16) {
    fail(ErrorCode::unsupported,
         "attention {}: expected bf16 on the CPU, which has no attention of 8 bits", name);
  }
  return precision;
}

std::string attention_that_runs(const std::string& name, Device device, DType stream,
                                int64_t head_dim) {
  attention_precision(name, device);
  return stream == DType::bf16 && head_dim == kHeadColumns ? name : "bf16";
}

std::string attention_fallback(const std::string& name) {
  return fmt::format(
      "attention {} is for bf16 and heads of {} columns: here attention is computed as without it",
      name, kHeadColumns);
}

}  // namespace fluxq

#include "pipeline/request.h"

#include <cmath>

namespace fluxq {
namespace {

constexpr int64_t kMaxPixels = int64_t{1} << 26;  // 8192 x 8192
constexpr int kMaxSide = 1 << 14;
constexpr int kMaxBatch = 1024;

}  // namespace

Request resolve_request(const GenerateOptions& options, const GenerationDefaults& defaults) {
  if (options.batch < 1)
    fail(ErrorCode::bad_argument, "batch: expected 1 or more, got {}", options.batch);
  Request request{.prompt = options.prompt,
                  .seeds = {},
                  .steps = options.steps.value_or(defaults.steps),
                  .width = options.width.value_or(defaults.width),
                  .height = options.height.value_or(defaults.height),
                  .guidance = options.guidance.value_or(defaults.guidance),
                  .max_text_tokens = options.max_text_tokens.value_or(defaults.max_text_tokens)};
  for (int i = 0; i < options.batch; ++i)
    request.seeds.push_back(options.seed + static_cast<uint64_t>(i));
  return request;
}

void check_request(const Request& request, int size_step) {
  const auto refuse = [](std::string_view what, std::string_view expected, auto got) {
    fail(ErrorCode::bad_argument, "{}: expected {}, got {}", what, expected, got);
  };
  const auto check_side = [&](std::string_view what, int pixels) {
    if (pixels < size_step || pixels % size_step != 0 || pixels > kMaxSide)
      refuse(what, fmt::format("a multiple of {} from {} to {}", size_step, size_step, kMaxSide),
             pixels);
  };
  check_side("width", request.width);
  check_side("height", request.height);
  const int64_t pixels = int64_t{request.width} * request.height;
  if (pixels > kMaxPixels)
    refuse("width x height", fmt::format("at most {} pixels", kMaxPixels), pixels);
  if (request.steps < 1 || request.steps > kMaxSteps)
    refuse("steps", fmt::format("1 to {}", kMaxSteps), request.steps);
  if (request.seeds.empty() || request.seeds.size() > kMaxBatch)
    refuse("batch", fmt::format("1 to {}", kMaxBatch), request.seeds.size());
  if (!std::isfinite(request.guidance) || std::abs(request.guidance) > 1000)
    refuse("guidance", "a number from -1000 to 1000", request.guidance);
  if (request.max_text_tokens < 1 || request.max_text_tokens > 4096)
    refuse("max-text-tokens", "1 to 4096", request.max_text_tokens);
}

MemoryRequest memory_of(const Request& request, Residency residency) {
  return {.batch = static_cast<int64_t>(request.seeds.size()),
          .width = request.width,
          .height = request.height,
          .text_tokens = request.max_text_tokens,
          .steps = request.steps,
          .residency = residency};
}

}  // namespace fluxq

#include "sampling/latents.h"

#include "base/error.h"

namespace fluxq {
namespace {

/// Calls copy(token_index, latent_index) for each value, tokens in order.
template <typename Copy>
void for_each_pair(int64_t channels, int64_t height, int64_t width, Copy copy) {
  int64_t token = 0;
  for (int64_t y = 0; y < height; y += 2)
    for (int64_t x = 0; x < width; x += 2)
      for (int64_t c = 0; c < channels; ++c)
        for (int64_t dy = 0; dy < 2; ++dy)
          for (int64_t dx = 0; dx < 2; ++dx) copy(token++, (c * height + y + dy) * width + x + dx);
}

void check_sizes(size_t from, size_t to, int64_t channels, int64_t height, int64_t width) {
  const size_t values = static_cast<size_t>(channels * height * width);
  if (height % 2 != 0 || width % 2 != 0 || from != values || to != values)
    fail(ErrorCode::internal,
         "latents: expected {} x {} x {} with even sides, got {} and {} values", channels, height,
         width, from, to);
}

}  // namespace

void pack_latents(std::span<const float> latents, int64_t channels, int64_t height, int64_t width,
                  std::span<float> tokens) {
  check_sizes(latents.size(), tokens.size(), channels, height, width);
  for_each_pair(channels, height, width,
                [&](int64_t token, int64_t latent) { tokens[token] = latents[latent]; });
}

void unpack_latents(std::span<const float> tokens, int64_t channels, int64_t height, int64_t width,
                    std::span<float> latents) {
  check_sizes(tokens.size(), latents.size(), channels, height, width);
  for_each_pair(channels, height, width,
                [&](int64_t token, int64_t latent) { latents[latent] = tokens[token]; });
}

}  // namespace fluxq

/// The starting noise of a picture, equal bit for bit to what PyTorch users start from.
#pragma once

#include <cstdint>
#include <span>

namespace fluxq {

/// Fills `out` with the values of
/// `torch.randn(n, generator=torch.Generator("cpu").manual_seed(seed), dtype=torch.float32)`, as
/// torch 2.x gives on x86-64 processors with AVX2 or more. Only the low 32 bits of the seed matter
/// (as in torch). Nothing depends on this machine's instruction set.
void draw_noise(uint64_t seed, std::span<float> out);

/// Starting latents [batch, 16, h, w] with h = height/8, w = width/8: item i is what seed + i alone
/// gives for [1, 16, h, w], as diffusers' `randn_tensor` does with one generator per item.
/// `out.size()` must be a multiple of `batch` (bad_argument).
void draw_batch_noise(uint64_t seed, int64_t batch, std::span<float> out);

}  // namespace fluxq

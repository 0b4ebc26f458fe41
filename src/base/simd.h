/// Vector loops for whatever processor the program meets: a function marked FLUXQ_SIMD is compiled
/// three times (AVX-512, AVX2, plain x86-64) and the processor's best version is chosen when the
/// program is loaded. What it calls must be FLUXQ_INLINE, or it is not compiled for that version.
#pragma once

#if defined(FLUXQ_SANITIZED) || !defined(__x86_64__)
#define FLUXQ_SIMD  // the sanitizers' start-up code cannot stand before the loader's choice
#else
#define FLUXQ_SIMD __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#endif
#define FLUXQ_INLINE __attribute__((always_inline)) inline

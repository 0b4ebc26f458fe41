/// 2:4 sparsity: of each four neighbours in a row two are kept.
///
/// Stored form of a group: its two kept values in order, and 4 bits of metadata: the position of
/// the first in bits 0-1, of the second in bits 2-3 (the form of the sparse tensor cores). Two
/// groups share a byte, the first in the low half.
#pragma once

#include <cstdint>

namespace fluxq {

/// Sets all but the two largest magnitudes of each four values to zero; of equal ones the first are
/// kept. `count` is a multiple of 4.
void sparse24_prune(float* x, int64_t count);

/// Metadata bytes of a row of `count` values.
inline int64_t sparse24_metadata_bytes(int64_t count) { return (count + 7) / 8; }

/// Stores a row of `count` codes of which at most two of each four are not zero: kept [count / 2].
void sparse24_compress(const int8_t* codes, int64_t count, int8_t* kept, uint8_t* metadata);

/// The row of `count` codes again.
void sparse24_expand(const int8_t* kept, const uint8_t* metadata, int64_t count, int8_t* codes);

/// The first group of a row of `count` values whose metadata no compress() writes (positions not
/// rising, or bits set behind the row), -1 if all are well.
int64_t sparse24_bad_group(const uint8_t* metadata, int64_t count);

}  // namespace fluxq

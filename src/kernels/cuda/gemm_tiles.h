/// In which order a product's tiles are worked on.
#pragma once

#include <cstdint>

namespace fluxq::cuda {

/// How many rows of tiles are done together, column by column: 1, 2, 4 or 8 (CUTLASS's swizzle).
/// Of a batch, CUTLASS does a row of tiles after the other, and so reads the weight again for every
/// few: from memory, if it is larger than the half of the L2 cache that a multiprocessor is near. y
/// [m, n] with a weight of n * k bytes, tiles of tile_rows x tile_columns. Divides the number of
/// tiles both ways: CUTLASS would add tiles that do not exist, whose endings gemm_qkv.cuh would
/// write over other memory.
inline int rows_of_tiles_at_once(int64_t m, int64_t n, int64_t k, int tile_rows, int tile_columns) {
  constexpr int64_t kNearBytes = int64_t{24} << 20;
  const int64_t rows = (m + tile_rows - 1) / tile_rows;
  const int64_t columns = (n + tile_columns - 1) / tile_columns;
  if (n * k <= kNearBytes || rows <= columns) return 1;
  for (int together = 8; together > 1; together /= 2)
    if (rows % together == 0 && columns % together == 0) return together;
  return 1;
}

}  // namespace fluxq::cuda

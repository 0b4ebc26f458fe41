#include "kernels/cuda/gemm_tiles.h"

#include <gtest/gtest.h>

namespace fluxq::cuda {
namespace {

constexpr int kTileRows = 128, kTileColumns = 192;

// Of a layer that makes q, k and v of `heads` heads.
int at_once(int64_t rows_of_tiles, int64_t heads) {
  return rows_of_tiles_at_once(rows_of_tiles * kTileRows, 3 * heads * 128, heads * 128, kTileRows,
                               kTileColumns);
}

TEST(GemmTiles, ABatchReadsALargeWeightInBandsOfRows) {
  EXPECT_EQ(at_once(36, 24), 1) << "one picture";
  EXPECT_EQ(at_once(72, 24), 8);
  EXPECT_EQ(at_once(108, 24), 4);
  EXPECT_EQ(at_once(90, 24), 2);
  EXPECT_EQ(at_once(91, 24), 1);
  EXPECT_EQ(at_once(72, 4), 1) << "a weight that the cache holds";
}

// A part of a tile is a tile.
TEST(GemmTiles, BandsAddNoTiles) {
  for (int64_t heads = 1; heads <= 64; ++heads) {
    for (int64_t rows = 1; rows <= 300; ++rows) {
      const int together = at_once(rows, heads);
      EXPECT_EQ(rows % together, 0) << rows << " rows of tiles, " << heads << " heads";
      EXPECT_EQ(2 * heads % together, 0) << rows << " rows of tiles, " << heads << " heads";
      EXPECT_EQ(rows_of_tiles_at_once(rows * kTileRows - 1, 3 * heads * 128, heads * 128, kTileRows,
                                      kTileColumns),
                together);
    }
  }
}

}  // namespace
}  // namespace fluxq::cuda

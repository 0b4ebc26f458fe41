/// How the rows of a matrix product are split: into tiles of few fixed heights, so that few
/// primitives are made and a row's bytes depend on no other row (gemm.cc says why these heights).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

namespace fluxq::cpu {

constexpr std::array<int64_t, 3> kTileHeights = {64, 16, 4};

struct Tile {
  int64_t first;  ///< row
  int64_t count;  ///< rows: at most the height
  size_t kind;    ///< index into kTileHeights
  int64_t height() const { return kTileHeights[kind]; }
};

/// Tall tiles first; the last one may have fewer rows than its height.
inline std::vector<Tile> split_rows(int64_t rows) {
  std::vector<Tile> tiles;
  for (int64_t first = 0; first < rows;) {
    const int64_t left = rows - first;
    const size_t kind = left >= kTileHeights[0] ? 0 : left > kTileHeights[2] ? 1 : 2;
    const int64_t count = std::min(left, kTileHeights[kind]);
    tiles.push_back({first, count, kind});
    first += count;
  }
  return tiles;
}

}  // namespace fluxq::cpu

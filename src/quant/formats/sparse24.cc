#include "quant/formats/sparse24.h"

#include <algorithm>
#include <cmath>

namespace fluxq {
namespace {

uint8_t nibble(const uint8_t* metadata, int64_t group) {
  return (metadata[group / 2] >> (group % 2 * 4)) & 15;
}

}  // namespace

void sparse24_prune(float* x, int64_t count) {
  for (int64_t begin = 0; begin < count; begin += 4) {
    bool drop[4];
    for (int64_t i = 0; i < 4; ++i) {
      int stronger = 0;  // that would be kept before i
      for (int64_t j = 0; j < 4; ++j) {
        const float theirs = std::abs(x[begin + j]), mine = std::abs(x[begin + i]);
        stronger += theirs > mine || (theirs == mine && j < i);
      }
      drop[i] = stronger >= 2;
    }
    for (int64_t i = 0; i < 4; ++i)
      if (drop[i]) x[begin + i] = 0;
  }
}

void sparse24_compress(const int8_t* codes, int64_t count, int8_t* kept, uint8_t* metadata) {
  std::fill_n(metadata, sparse24_metadata_bytes(count), uint8_t{0});
  for (int64_t group = 0; group < count / 4; ++group) {
    const int8_t* four = codes + group * 4;
    int first = 0;
    while (first < 2 && four[first] == 0) ++first;
    int second = 3;
    while (second > first + 1 && four[second] == 0) --second;
    kept[group * 2] = four[first];
    kept[group * 2 + 1] = four[second];
    metadata[group / 2] |= static_cast<uint8_t>((first | second << 2) << (group % 2 * 4));
  }
}

void sparse24_expand(const int8_t* kept, const uint8_t* metadata, int64_t count, int8_t* codes) {
  std::fill_n(codes, count, int8_t{0});
  for (int64_t group = 0; group < count / 4; ++group) {
    const uint8_t positions = nibble(metadata, group);
    codes[group * 4 + (positions & 3)] = kept[group * 2];
    codes[group * 4 + (positions >> 2)] = kept[group * 2 + 1];
  }
}

int64_t sparse24_bad_group(const uint8_t* metadata, int64_t count) {
  const int64_t groups = count / 4;
  for (int64_t group = 0; group < groups; ++group) {
    const uint8_t positions = nibble(metadata, group);
    if ((positions & 3) >= (positions >> 2)) return group;
  }
  if (groups % 2 == 1 && nibble(metadata, groups) != 0) return groups;
  return -1;
}

}  // namespace fluxq

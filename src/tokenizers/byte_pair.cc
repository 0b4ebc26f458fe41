#include "tokenizers/byte_pair.h"

#include <algorithm>
#include <array>
#include <queue>

namespace fluxq {
namespace {

// A symbol of the word: part of a doubly linked list over positions.
struct Symbol {
  int32_t id;
  int32_t previous;  // -1: none
  int32_t next;      // -1: none
  bool alive = true;
};

struct Candidate {
  int32_t rank;
  int32_t position;  // of the left symbol
  int32_t merged;
};

struct Later {
  bool operator()(const Candidate& a, const Candidate& b) const {
    return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
  }
};

bool stands_for_itself(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte != 0xAD);
}

constexpr int kFirstSubstitute = 0x100;

// Characters of the bytes that do not stand for themselves, from U+0100 on.
std::array<char32_t, 256> make_byte_table() {
  std::array<char32_t, 256> table;
  char32_t substitute = kFirstSubstitute;
  for (int byte = 0; byte < 256; ++byte)
    table[byte] = stands_for_itself(byte) ? static_cast<char32_t>(byte) : substitute++;
  return table;
}

const std::array<char32_t, 256>& byte_table() {
  static const std::array<char32_t, 256> table = make_byte_table();
  return table;
}

}  // namespace

bool BytePairMerges::add(int32_t left, int32_t right, int32_t merged) {
  const uint64_t key = static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right);
  return merges_.try_emplace(key, Merge{static_cast<int32_t>(merges_.size()), merged}).second;
}

const BytePairMerges::Merge* BytePairMerges::find(int32_t left, int32_t right) const {
  const auto found = merges_.find(static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right));
  return found == merges_.end() ? nullptr : &found->second;
}

void BytePairMerges::apply(std::vector<int32_t>& symbols) const {
  const auto count = static_cast<int32_t>(symbols.size());
  std::vector<Symbol> word;
  word.reserve(symbols.size());
  for (int32_t i = 0; i < count; ++i)
    word.push_back({symbols[static_cast<size_t>(i)], i - 1, i + 1 < count ? i + 1 : -1});

  std::priority_queue<Candidate, std::vector<Candidate>, Later> queue;
  const auto offer = [&](int32_t left) {
    if (left < 0 || word[left].next < 0) return;
    if (const Merge* merge = find(word[left].id, word[word[left].next].id))
      queue.push({merge->rank, left, merge->merged});
  };
  for (int32_t i = 0; i + 1 < count; ++i) offer(i);

  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = word[best.position];
    if (!left.alive || left.next < 0) continue;
    Symbol& right = word[left.next];
    // The candidate is stale if its symbols have changed. (Only the result is compared, like the
    // library does: two merges with one result may stand in for each other.)
    const Merge* merge = find(left.id, right.id);
    if (merge == nullptr || merge->merged != best.merged) continue;
    left.id = best.merged;
    left.next = right.next;
    right.alive = false;
    if (left.next >= 0) word[left.next].previous = best.position;
    offer(left.previous);
    offer(best.position);
  }

  symbols.clear();
  for (const Symbol& symbol : word)
    if (symbol.alive) symbols.push_back(symbol.id);
}

char32_t character_of_byte(uint8_t byte) { return byte_table()[byte]; }

int byte_of_character(char32_t c) {
  if (c < kFirstSubstitute)
    return stands_for_itself(static_cast<int>(c)) ? static_cast<int>(c) : -1;
  const auto& table = byte_table();
  const auto found = std::find(table.begin(), table.end(), c);
  return found == table.end() ? -1 : static_cast<int>(found - table.begin());
}

}  // namespace fluxq

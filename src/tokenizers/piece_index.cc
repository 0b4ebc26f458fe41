#include "tokenizers/piece_index.h"

namespace fluxq {

PieceIndex::PieceIndex(std::vector<Entry> entries) : entries_(std::move(entries)), by_byte_(257) {
  std::stable_sort(entries_.begin(), entries_.end(),
                   [](const Entry& a, const Entry& b) { return a.first < b.first; });
  std::vector<Entry> unique;
  unique.reserve(entries_.size());
  for (Entry& entry : entries_) {
    if (entry.first.empty()) continue;
    if (!unique.empty() && unique.back().first == entry.first) {
      unique.back().second = entry.second;
    } else {
      unique.push_back(std::move(entry));
    }
  }
  entries_ = std::move(unique);
  for (const Entry& entry : entries_) ++by_byte_[static_cast<unsigned char>(entry.first[0]) + 1];
  for (size_t b = 0; b < 256; ++b) by_byte_[b + 1] += by_byte_[b];
}

int32_t PieceIndex::find(std::string_view text) const {
  const auto found =
      std::lower_bound(entries_.begin(), entries_.end(), text,
                       [](const Entry& entry, std::string_view t) { return entry.first < t; });
  return found != entries_.end() && found->first == text ? found->second : -1;
}

}  // namespace fluxq

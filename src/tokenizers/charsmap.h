/// SentencePiece's precompiled character map (for T5 "nmt_nfkc"), applied the way the Hugging Face
/// libraries do (spm_precompiled 0.1.4 and `tokenizers`), which differs from SentencePiece itself:
/// a short grapheme cluster is replaced as a whole by what its first mapped prefix becomes.
///
/// The map is: a 32-bit length in bytes, that many bytes of a darts-clone double array (one 32-bit
/// unit each) over UTF-8 bytes, then the replacements, each ended by a NUL; all little-endian.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fluxq {

class Charsmap {
 public:
  /// No map: text stays as it is.
  Charsmap() = default;
  /// corrupt_file, beginning with `where`, if the bytes break the format.
  Charsmap(std::string_view bytes, std::string_view where);

  /// Valid UTF-8 to valid UTF-8, in linear time.
  std::string apply(std::string_view text) const;

 private:
  std::optional<std::string_view> replacement(std::string_view chunk) const;

  std::vector<uint32_t> units_;
  std::string replacements_;
};

}  // namespace fluxq

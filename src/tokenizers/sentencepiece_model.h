/// The parts of a SentencePiece model file (spiece.model, a protobuf message `ModelProto`) that a
/// T5 tokenizer needs. Read here rather than by libsentencepiece, because transformers does not
/// segment text as that library does (t5_unigram.cc says how), the library gives no access to the
/// character map, and it trusts the map's table.
/// Format: sentencepiece_model.proto of google/sentencepiece; protobuf's wire format.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fluxq {

struct SentencePiece {
  enum class Type { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

  std::string text;  ///< UTF-8, 1 to 512 bytes
  double score = 0;  ///< log probability, finite, at most 0
  Type type = Type::normal;
};

struct SentencePieceModel {
  std::vector<SentencePiece> pieces;  ///< by id; texts unique; exactly one of type unknown
  std::string charsmap;               ///< precompiled character map, may be empty
};

/// Errors, each beginning with `where`: corrupt_file if the bytes break the format or the rules
/// above; unsupported for a model that is no unigram model.
SentencePieceModel parse_sentencepiece_model(std::string_view bytes, std::string_view where);

/// Checks text and score of a piece, as said above. corrupt_file otherwise.
void check_piece(const SentencePiece& piece, size_t id, std::string_view where);

}  // namespace fluxq

#include "tokenizers/sentencepiece_model.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <unordered_set>

#include "base/error.h"
#include "base/text.h"

namespace fluxq {
namespace {

constexpr size_t kMaxPieceBytes = 512;
constexpr size_t kMaxPieces = 1 << 20;
constexpr int kUnigram = 1;

// One field of a protobuf message: a number, or bytes.
struct Field {
  uint32_t number = 0;
  uint32_t wire_type = 0;
  uint64_t value = 0;           // wire types 0 (varint), 1 (64 bits), 5 (32 bits)
  std::string_view bytes = {};  // wire type 2
};

enum WireType : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

// Goes through the fields of one message. Messages within it are bytes, so nothing recurses.
class FieldReader {
 public:
  FieldReader(std::string_view message, std::string_view where)
      : message_(message), where_(where) {}

  bool next(Field& field) {
    if (at_ == message_.size()) return false;
    const uint64_t key = varint();
    field = {.number = static_cast<uint32_t>(key >> 3),
             .wire_type = static_cast<uint32_t>(key & 7)};
    if (key >> 32 != 0 || field.number == 0) corrupt("a field number within 1 to 2^29");
    switch (field.wire_type) {
      case kVarint:
        field.value = varint();
        break;
      case kFixed64:
        field.value = fixed(8);
        break;
      case kBytes:
        field.bytes = take(varint());
        break;
      case kFixed32:
        field.value = fixed(4);
        break;
      default:
        corrupt("a wire type of 0, 1, 2 or 5");
    }
    return true;
  }

  // Fails unless the field has the wire type that its number calls for.
  void expect(const Field& field, WireType type) const {
    if (field.wire_type != type)
      fail(ErrorCode::corrupt_file, "{}: field {}: expected wire type {}, got {}", where_,
           field.number, static_cast<uint32_t>(type), field.wire_type);
  }

 private:
  [[noreturn]] void corrupt(std::string_view expected) const {
    fail(ErrorCode::corrupt_file, "{}: expected {} at byte {} of {}", where_, expected, at_,
         message_.size());
  }

  std::string_view take(uint64_t size) {
    if (size > message_.size() - at_)
      corrupt(fmt::format("at most {} bytes, not {},", message_.size() - at_, size));
    const std::string_view bytes = message_.substr(at_, size);
    at_ += size;
    return bytes;
  }

  uint64_t fixed(size_t size) {
    uint64_t value = 0;
    std::memcpy(&value, take(size).data(), size);
    return value;
  }

  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at_ == message_.size()) corrupt("the rest of a varint");
      const auto byte = static_cast<unsigned char>(message_[at_++]);
      if (shift == 63 && byte > 1) break;
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    corrupt("a varint of at most 64 bits");
  }

  std::string_view message_;
  std::string_view where_;
  size_t at_ = 0;
};

SentencePiece parse_piece(std::string_view message, size_t id, std::string_view where) {
  SentencePiece piece;
  FieldReader reader(message, where);
  for (Field field; reader.next(field);) {
    if (field.number == 1) {
      reader.expect(field, kBytes);
      piece.text = field.bytes;
    } else if (field.number == 2) {
      reader.expect(field, kFixed32);
      piece.score = std::bit_cast<float>(static_cast<uint32_t>(field.value));
    } else if (field.number == 3) {
      reader.expect(field, kVarint);
      if (field.value < 1 || field.value > 6)
        fail(ErrorCode::corrupt_file, "{}: piece {}: expected a type of 1 to 6, got {}", where, id,
             field.value);
      piece.type = static_cast<SentencePiece::Type>(field.value);
    }
  }
  return piece;
}

// "<0xHH>" with two hexadecimal digits.
bool is_byte_piece(std::string_view text) {
  const auto hex = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
  };
  return text.size() == 6 && text.starts_with("<0x") && hex(text[3]) && hex(text[4]) &&
         text[5] == '>';
}

void check_pieces(const std::vector<SentencePiece>& pieces, std::string_view where) {
  std::unordered_set<std::string_view> seen;
  size_t unknowns = 0;
  for (size_t id = 0; id < pieces.size(); ++id) {
    const SentencePiece& piece = pieces[id];
    check_piece(piece, id, where);
    if (!seen.insert(piece.text).second)
      fail(ErrorCode::corrupt_file, "{}: piece {}: expected each text once, got {} again", where,
           id, in_quotes(piece.text));
    if (piece.type == SentencePiece::Type::byte && !is_byte_piece(piece.text))
      fail(ErrorCode::corrupt_file, "{}: piece {}: expected a byte such as \"<0x0A>\", got {}",
           where, id, in_quotes(piece.text));
    if (piece.type == SentencePiece::Type::unknown) ++unknowns;
  }
  if (unknowns != 1)
    fail(ErrorCode::corrupt_file, "{}: expected one unknown piece, got {}", where, unknowns);
}

}  // namespace

void check_piece(const SentencePiece& piece, size_t id, std::string_view where) {
  if (piece.text.empty() || piece.text.size() > kMaxPieceBytes)
    fail(ErrorCode::corrupt_file, "{}: piece {}: expected 1 to {} bytes, got {}", where, id,
         kMaxPieceBytes, piece.text.size());
  if (!is_utf8(piece.text))
    fail(ErrorCode::corrupt_file, "{}: piece {}: expected UTF-8, got {}", where, id,
         in_quotes(piece.text));
  if (!(std::isfinite(piece.score) && piece.score <= 0))
    fail(ErrorCode::corrupt_file, "{}: piece {}: expected a log probability as score, got {}",
         where, id, piece.score);
}

SentencePieceModel parse_sentencepiece_model(std::string_view bytes, std::string_view where) {
  SentencePieceModel model;
  uint64_t model_type = kUnigram;
  FieldReader reader(bytes, where);
  for (Field field; reader.next(field);) {
    if (field.number == 1) {  // pieces
      reader.expect(field, kBytes);
      if (model.pieces.size() == kMaxPieces)
        fail(ErrorCode::corrupt_file, "{}: expected at most {} pieces", where, kMaxPieces);
      model.pieces.push_back(parse_piece(field.bytes, model.pieces.size(), where));
    } else if (field.number == 2) {  // trainer_spec
      reader.expect(field, kBytes);
      FieldReader trainer(field.bytes, where);
      for (Field member; trainer.next(member);) {
        if (member.number != 3) continue;
        trainer.expect(member, kVarint);
        model_type = member.value;
      }
    } else if (field.number == 3) {  // normalizer_spec
      reader.expect(field, kBytes);
      FieldReader normalizer(field.bytes, where);
      for (Field member; normalizer.next(member);) {
        if (member.number != 2) continue;
        normalizer.expect(member, kBytes);
        model.charsmap = member.bytes;
      }
    }
  }
  if (model_type != kUnigram)
    fail(ErrorCode::unsupported, "{}: expected a unigram model (type 1), got type {}", where,
         model_type);
  check_pieces(model.pieces, where);
  return model;
}

}  // namespace fluxq

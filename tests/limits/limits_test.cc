/// Holds docs/limits.md to the code: for each of its rows there is a use below that is taken at the
/// limit which the table names, and refused one above.
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <sstream>

#include "base/json.h"
#include "base/test_support.h"
#include "bench/plan.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/shard_index.h"
#include "checkpoint/tensor_store.h"
#include "checkpoint/test_files.h"
#include "hub/cache_layout.h"
#include "hub/listing.h"
#include "image/png.h"
#include "models/config.h"
#include "models/flux/config.h"
#include "quant/recipe.h"
#include "sampling/flow_match.h"
#include "tokenizers/sentencepiece_model.h"
#include "tokenizers/tokenizer.h"

namespace fluxq {
namespace {

namespace fs = std::filesystem;

/// Uses something of size n; throws Error if that is too much.
using Use = std::function<void(uint64_t n)>;

std::string repeated(uint64_t count, std::string_view text) {
  std::string out;
  out.reserve(count * text.size());
  for (uint64_t i = 0; i < count; ++i) out += text;
  return out;
}

/// "unit,unit,...", each made from its number.
template <typename Make>
std::string listed(uint64_t count, const Make& make) {
  std::string out;
  for (uint64_t i = 0; i < count; ++i) {
    if (i > 0) out += ',';
    out += make(i);
  }
  return out;
}

// safetensors

void parse_header(const std::string& text, uint64_t data_bytes = 0) {
  parse_safetensors_header(text, data_bytes, "header");
}

std::string empty_tensor(const std::string& name, const std::string& shape = "0") {
  return fmt::format(R"("{}":{{"dtype":"U8","shape":[{}],"data_offsets":[0,0]}})", name, shape);
}

void open_header_of(uint64_t bytes) {
  const TempFolder folder;
  write_safetensors(folder / "x", "{}" + std::string(bytes - 2, ' '), "");
  const SafetensorsFile file(folder / "x");
}

void read_metadata_of(uint64_t bytes) {
  parse_header(fmt::format(R"({{"__metadata__":{{"key":"{}"}}}})", std::string(bytes - 3, 'x')));
}

void read_header_of_depth(uint64_t depth) {
  // An unknown field is passed over with all that is in it: the header and the entry are two
  // levels.
  parse_header(fmt::format(R"({{"a":{{"dtype":"U8","shape":[0],"data_offsets":[0,0],"x":{}{}}}}})",
                           repeated(depth - 2, "["), repeated(depth - 2, "]")));
}

// Shard index

void read_index(const std::string& weight_map) {
  parse_shard_index(R"({"weight_map":{)" + weight_map + "}}", "index");
}

void open_index_of(uint64_t bytes) {
  const TempFolder folder;
  write_scalars(folder / "a.safetensors", {"x"});
  const std::string text = R"({"weight_map":{"x":"a.safetensors"}})";
  write_test_file(folder / "model.safetensors.index.json",
                  text + std::string(bytes - text.size(), ' '));
  const TensorStore store(folder.path());
}

// JSON

void read_json_of_bytes(uint64_t bytes) {
  parse_json('"' + std::string(bytes - 2, 'x') + '"', "j");
}

void read_json_of_values(uint64_t values) {
  parse_json('[' + repeated(values - 2, "0,") + "0]", "j");
}

void read_config_of(uint64_t bytes) {
  const TempFolder folder;
  write_test_file(folder / "config.json", "{}" + std::string(bytes - 2, ' '));
  read_config_file(folder / "config.json");
}

void read_flux_config(uint64_t layers, uint64_t heads) {
  Progress silent;
  const std::string text = fmt::format(
      R"({{"_class_name":"FluxTransformer2DModel","num_attention_heads":{},"attention_head_dim":6,
"num_layers":{},"num_single_layers":1,"in_channels":64,"joint_attention_dim":64,
"pooled_projection_dim":64,"guidance_embeds":false,"axes_dims_rope":[2,2,2],"patch_size":1}})",
      heads, layers);
  parse_flux_config(parse_json(text, "config"), "config", silent);
}

void read_recipe_of(uint64_t bytes) {
  const TempFolder folder;
  const std::string text = R"({"name":"x","rules":[{"pattern":"*"}]})";
  write_test_file(folder / "r.json", text + std::string(bytes - text.size(), ' '));
  Recipe::load(folder / "r.json", find_scheme("int8dq"));
}

// Prompts and tokenizers

/// A CLIP folder with one more token of this id, and a special token of this length.
std::unique_ptr<Tokenizer> small_clip(uint64_t id = 3, uint64_t special_bytes = 5) {
  const TempFolder folder;
  write_test_file(folder / "vocab.json",
                  fmt::format(R"({{"<|startoftext|>":0,"<|endoftext|>":1,"a</w>":2,"b":{}}})", id));
  write_test_file(folder / "merges.txt", "");
  write_test_file(
      folder / "tokenizer_config.json",
      fmt::format(R"({{"extra_special_tokens":["{}"]}})", std::string(special_bytes, 'x')));
  return load_clip_bpe(folder.path());
}

void encode(uint64_t bytes, uint64_t tokens) {
  small_clip()->encode(std::string(bytes, ' '), static_cast<int>(tokens));
}

void store_prompt_of(uint64_t bytes) {
  to_json({.prompt = std::string(bytes, 'x'),
           .seed = 1,
           .steps = 1,
           .width = 64,
           .height = 64,
           .guidance = 0,
           .max_text_tokens = 8,
           .scheme = "bf16",
           .recipe = "",
           .sampler = "",
           .model = "m",
           .weights_sha256 = std::string(64, 'a'),
           .version = "0"});
}

std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
  return out;
}

std::string piece(std::string_view text, int type) {
  const std::string body = "\x0a" + varint(text.size()) + std::string(text) + "\x15" +
                           std::string(4, '\0') + "\x18" + varint(static_cast<uint64_t>(type));
  return "\x0a" + varint(body.size()) + body;
}

/// `count` pieces, the last of which has `bytes` bytes.
void read_pieces(uint64_t count, uint64_t bytes) {
  std::string model = piece("<unk>", 2);
  for (uint64_t i = 1; i + 1 < count; ++i) model += piece(std::to_string(i), 1);
  model += piece(std::string(bytes, 'x'), 1);
  model += std::string("\x12\x02\x18\x01", 4);  // trainer: unigram
  parse_sentencepiece_model(model, "model");
}

// Pictures

/// Says whether a PNG of 2^13 columns and so many pixels is refused for its size: its data is
/// missing, so it is refused in any case.
void open_png_of(uint64_t pixels) {
  const uint64_t width = pixels % 8192 == 0 ? 8192 : 1;
  const uint64_t height = pixels / width;
  std::string png = "\x89PNG\r\n\x1a\n";
  png += std::string("\0\0\0\x0dIHDR", 8);
  for (const uint64_t side : {width, height})
    for (int shift = 24; shift >= 0; shift -= 8) png += static_cast<char>(side >> shift);
  png += std::string("\x08\x02\0\0\0", 5) + "CRC!";
  try {
    decode_png(std::as_bytes(std::span(png)), "picture");
  } catch (const Error& error) {
    if (error.code() != ErrorCode::corrupt_file) throw;
  }
}

// Plans and the Hub

void read_plan(const std::string& text) {
  const TempFolder folder;
  write_test_file(folder / "plan.json", text);
  read_plan_file(folder / "plan.json");
}

void read_listing(const std::string& siblings) {
  parse_listing(
      R"({"sha":"0123456789abcdef0123456789abcdef01234567","siblings":[)" + siblings + "]}",
      "org/name", "Hub");
}

std::string sibling(const std::string& path, uint64_t bytes = 1) {
  return fmt::format(R"({{"rfilename":"{}","size":{},"blobId":"{}"}})", path, bytes,
                     std::string(40, 'b'));
}

/// A path of so many bytes in parts of at most 200.
std::string long_path(uint64_t bytes) {
  std::string path;
  while (path.size() + 200 < bytes) path += std::string(199, 'x') + '/';
  return path + std::string(bytes - path.size(), 'x');
}

void take_revision_of(uint64_t bytes) {
  if (!is_hub_revision(std::string(bytes, 'x')))
    fail(ErrorCode::bad_argument, "a revision of {} bytes is none", bytes);
}

const std::map<std::string, Use>& uses() {
  static const std::map<std::string, Use> all = {
      {"safetensors: bytes of the header", open_header_of},
      {"safetensors: tensors in a file",
       [](uint64_t n) {
         parse_header('{' + listed(n, [](uint64_t i) { return empty_tensor(std::to_string(i)); }) +
                      '}');
       }},
      {"safetensors: dimensions of a tensor",
       [](uint64_t n) {
         parse_header('{' + empty_tensor("a", repeated(n - 1, "1,") + "0") + '}');
       }},
      {"safetensors: bytes of a tensor's name",
       [](uint64_t n) { parse_header('{' + empty_tensor(std::string(n, 'x')) + '}'); }},
      {"safetensors: bytes of the metadata", read_metadata_of},
      {"safetensors: JSON depth of the header", read_header_of_depth},
      {"shard index: files",
       [](uint64_t n) {
         read_index(
             listed(n, [](uint64_t i) { return fmt::format(R"("{}":"{}.safetensors")", i, i); }));
       }},
      {"shard index: bytes of a file's name",
       [](uint64_t n) {
         read_index(fmt::format(R"("x":"{}.safetensors")", std::string(n - 12, 'a')));
       }},
      {"shard index: bytes", open_index_of},
      {"JSON: depth", [](uint64_t n) { parse_json(repeated(n, "[") + repeated(n, "]"), "j"); }},
      {"JSON: bytes", read_json_of_bytes},
      {"JSON: values", read_json_of_values},
      {"config: bytes", read_config_of},
      {"config: layers", [](uint64_t n) { read_flux_config(n, 1); }},
      {"config: heads", [](uint64_t n) { read_flux_config(1, n); }},
      {"recipe: bytes", read_recipe_of},
      {"prompt: bytes", [](uint64_t n) { encode(n, 16); }},
      {"prompt: tokens asked for", [](uint64_t n) { encode(1, n); }},
      {"prompt: bytes in a picture's story", store_prompt_of},
      {"tokenizer: id of a token", [](uint64_t n) { small_clip(n); }},
      {"tokenizer: bytes of a special token", [](uint64_t n) { small_clip(3, n); }},
      {"tokenizer: pieces of a SentencePiece model", [](uint64_t n) { read_pieces(n, 3); }},
      {"tokenizer: bytes of a piece", [](uint64_t n) { read_pieces(3, n); }},
      {"picture: pixels of a PNG", open_png_of},
      {"picture: steps", [](uint64_t n) { flow_match_sigmas({}, static_cast<int64_t>(n), 4096); }},
      {"plan: bytes", [](uint64_t n) { read_plan("{}" + std::string(n - 2, ' ')); }},
      {"plan: seeds", [](uint64_t n) { read_plan(fmt::format(R"({{"seeds":{}}})", n)); }},
      {"Hub: files of a model",
       [](uint64_t n) {
         read_listing(listed(n, [](uint64_t i) { return sibling(std::to_string(i)); }));
       }},
      {"Hub: bytes of a file's path", [](uint64_t n) { read_listing(sibling(long_path(n))); }},
      {"Hub: bytes of one part of a path",
       [](uint64_t n) { read_listing(sibling(std::string(n, 'x'))); }},
      {"Hub: bytes of a file", [](uint64_t n) { read_listing(sibling("x", n)); }},
      {"Hub: bytes of a token",
       [](uint64_t n) { checked_hub_token(std::string(n, 'x'), "the test"); }},
      {"Hub: bytes of a revision's name", take_revision_of},
  };
  return all;
}

/// The cells of a row of the table, without the spaces around them.
std::vector<std::string> cells_of_row(const std::string& line) {
  std::vector<std::string> cells;
  std::istringstream row(line.substr(1));
  for (std::string cell; std::getline(row, cell, '|');) {
    const size_t begin = cell.find_first_not_of(' ');
    if (begin == cell.npos) continue;
    cells.push_back(cell.substr(begin, cell.find_last_not_of(' ') - begin + 1));
  }
  return cells;
}

struct Row {
  std::string what;
  uint64_t limit = 0;
};

std::vector<Row> rows_of_table() {
  std::istringstream text(read_text_file(FLUXQ_SOURCE_DIR "/docs/limits.md", 1 << 20));
  std::vector<Row> rows;
  for (std::string line; std::getline(text, line);) {
    if (!line.starts_with("| ")) continue;
    const std::vector<std::string> cells = cells_of_row(line);
    if (cells.size() == 4 && cells[0] != "what") rows.push_back({cells[0], std::stoull(cells[1])});
  }
  return rows;
}

bool is_taken(const Use& use, uint64_t n, std::string& sentence) {
  try {
    use(n);
    return true;
  } catch (const Error& error) {
    sentence = error.what();
    return false;
  }
}

TEST(Limits, AreWhatTheTableSays) {
  const std::vector<Row> rows = rows_of_table();
  EXPECT_EQ(rows.size(), uses().size());
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    const auto use = uses().find(row.what);
    ASSERT_NE(use, uses().end()) << "no test knows this row";
    std::string sentence;
    EXPECT_TRUE(is_taken(use->second, row.limit, sentence)) << sentence;
    EXPECT_FALSE(is_taken(use->second, row.limit + 1, sentence))
        << row.limit + 1 << " was taken, too";
  }
}

}  // namespace
}  // namespace fluxq

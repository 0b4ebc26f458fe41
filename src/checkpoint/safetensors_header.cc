#include "checkpoint/safetensors_header.h"

#include <algorithm>
#include <limits>

#include "base/checked.h"
#include "base/json.h"
#include "base/text.h"

namespace fluxq {
namespace {

constexpr size_t kMaxTensors = 65'536;
constexpr size_t kMaxRank = 8;
constexpr size_t kMaxNameBytes = 512;
constexpr uint64_t kMaxMetadataBytes = 1 << 20;
constexpr int kMaxDepth = 8;
// A tensor of rank 8 takes 14 values.
constexpr uint64_t kMaxJsonValues = kMaxTensors * 16;

// Types of the format that DType lacks.
constexpr std::string_view kOtherDTypes[] = {"F4",          "F6_E2M3",     "F6_E3M2", "F8_E8M0",
                                             "F8_E4M3FNUZ", "F8_E5M2FNUZ", "C64"};

// An array of at most `max_size` unsigned integers; 2.0, -0 and 2^64 are none.
std::vector<uint64_t> unsigned_list(const Json& object, std::string_view key,
                                    std::string_view where, size_t max_size) {
  const Json* list = find_member(object, key, where);
  if (list == nullptr || !list->is_array() || list->size() > max_size)
    fail(ErrorCode::corrupt_file, "{}: {}: expected an array of at most {} integers, got {}", where,
         key, max_size, list == nullptr ? "nothing" : describe(*list));
  std::vector<uint64_t> numbers;
  numbers.reserve(list->size());
  for (const Json& element : *list) {
    if (!element.is_number_unsigned())
      fail(ErrorCode::corrupt_file, "{}: {}: expected integers of 0 to 2^64 - 1, got {}", where,
           key, describe(element));
    numbers.push_back(element.get<uint64_t>());
  }
  return numbers;
}

DType read_dtype(const Json& object, std::string_view where) {
  const std::string name = require_string(object, "dtype", where);
  if (const std::optional<DType> dtype = parse_dtype(name)) return *dtype;
  if (std::find(std::begin(kOtherDTypes), std::end(kOtherDTypes), name) != std::end(kOtherDTypes))
    fail(ErrorCode::unsupported, "{}: fluxq cannot read dtype {}", where, name);
  fail(ErrorCode::corrupt_file, "{}: dtype: expected a type such as \"BF16\", got {}", where,
       in_quotes(name));
}

// Fails on overflow, so that element_count() of the shape cannot.
Shape read_shape(const Json& object, std::string_view where) {
  Shape shape;
  int64_t elements = 1;
  const std::vector<uint64_t> dims = unsigned_list(object, "shape", where, kMaxRank);
  for (const uint64_t dim : dims) {
    if (dim > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) ||
        __builtin_mul_overflow(elements, static_cast<int64_t>(dim), &elements))
      fail(ErrorCode::corrupt_file, "{}: shape: expected less than 2^63 elements, got [{}]", where,
           fmt::join(dims, ", "));
    shape.push_back(static_cast<int64_t>(dim));
  }
  return shape;
}

TensorEntry read_entry(const Json& value, std::string_view where, uint64_t data_bytes) {
  TensorEntry entry;
  entry.dtype = read_dtype(value, where);
  entry.shape = read_shape(value, where);
  entry.bytes = checked_mul(static_cast<uint64_t>(element_count(entry.shape)),
                            static_cast<uint64_t>(dtype_bytes(entry.dtype)), where);
  const std::vector<uint64_t> offsets = unsigned_list(value, "data_offsets", where, 2);
  if (offsets.size() != 2)
    fail(ErrorCode::corrupt_file, "{}: data_offsets: expected 2 integers, got {}", where,
         offsets.size());
  const uint64_t begin = offsets[0];
  const uint64_t end = offsets[1];
  if (begin > end)
    fail(ErrorCode::corrupt_file, "{}: data_offsets: expected begin <= end, got [{}, {}]", where,
         begin, end);
  if (end > data_bytes)
    fail(ErrorCode::corrupt_file,
         "{}: data_offsets: expected an end within the file's {} bytes of data, got {} (file cut "
         "short?)",
         where, data_bytes, end);
  if (end - begin != entry.bytes)
    fail(ErrorCode::corrupt_file, "{}: data_offsets: expected {} bytes for {} {}, got {}", where,
         entry.bytes, dtype_name(entry.dtype), to_string(entry.shape), end - begin);
  entry.offset = begin;
  return entry;
}

Metadata read_metadata(const Json& value, std::string_view where) {
  if (!value.is_object())
    fail(ErrorCode::corrupt_file, "{}: __metadata__: expected an object of strings, got {}", where,
         describe(value));
  Metadata metadata;
  uint64_t bytes = 0;
  for (const auto& [key, text] : value.get_ref<const Json::object_t&>()) {
    if (!text.is_string())
      fail(ErrorCode::corrupt_file, "{}: __metadata__: {}: expected a string, got {}", where,
           in_quotes(key), describe(text));
    const auto& string = text.get_ref<const std::string&>();
    bytes += key.size() + string.size();
    if (bytes > kMaxMetadataBytes)
      fail(ErrorCode::corrupt_file, "{}: __metadata__: expected at most {} bytes, got more", where,
           kMaxMetadataBytes);
    metadata.emplace(key, string);
  }
  return metadata;
}

// The first field that is not one of the three, or nothing.
const std::string* unknown_field(const Json& entry) {
  for (const auto& [key, value] : entry.get_ref<const Json::object_t&>())
    if (key != "dtype" && key != "shape" && key != "data_offsets") return &key;
  return nullptr;
}

void check_coverage(const TensorEntries& tensors, uint64_t data_bytes, std::string_view where) {
  std::vector<const TensorEntries::value_type*> by_offset;
  by_offset.reserve(tensors.size());
  for (const auto& tensor : tensors) by_offset.push_back(&tensor);
  // Empty tensors come before the one that begins at the same byte.
  std::stable_sort(by_offset.begin(), by_offset.end(), [](const auto* a, const auto* b) {
    return std::pair(a->second.offset, a->second.bytes) <
           std::pair(b->second.offset, b->second.bytes);
  });
  uint64_t covered = 0;
  for (const auto* tensor : by_offset) {
    const TensorEntry& entry = tensor->second;
    if (entry.offset != covered)
      fail(ErrorCode::corrupt_file, "{}: tensor {}: expected data at byte {}, got {} ({})", where,
           in_quotes(tensor->first), covered, entry.offset,
           entry.offset < covered ? "it overlaps another tensor" : "there is a hole before it");
    covered += entry.bytes;
  }
  if (covered != data_bytes)
    fail(ErrorCode::corrupt_file, "{}: expected {} bytes of tensor data, got {} (trailing bytes)",
         where, covered, data_bytes);
}

}  // namespace

void check_tensor_name(std::string_view name, std::string_view where) {
  if (name.empty() || name.size() > kMaxNameBytes || !is_utf8(name) || has_control_character(name))
    fail(ErrorCode::corrupt_file,
         "{}: tensor name: expected 1 to {} bytes of UTF-8 without control characters, got {} "
         "bytes: {}",
         where, kMaxNameBytes, name.size(), in_quotes(name));
}

SafetensorsHeader parse_safetensors_header(std::string_view text, uint64_t data_bytes,
                                           std::string_view where) {
  const JsonLimits limits = {.depth = kMaxDepth, .bytes = text.size(), .values = kMaxJsonValues};
  const Json root = parse_json(text, where, limits);
  if (!root.is_object())
    fail(ErrorCode::corrupt_file, "{}: header: expected an object, got {}", where, describe(root));
  const size_t tensor_count = root.size() - root.count("__metadata__");
  if (tensor_count > kMaxTensors)
    fail(ErrorCode::corrupt_file, "{}: expected at most {} tensors, got {}", where, kMaxTensors,
         tensor_count);

  SafetensorsHeader header;
  size_t odd_tensors = 0;
  for (const auto& [name, value] : root.get_ref<const Json::object_t&>()) {
    if (name == "__metadata__") {
      header.metadata = read_metadata(value, where);
      continue;
    }
    check_tensor_name(name, where);
    const std::string place = fmt::format("{}: tensor {}", where, in_quotes(name));
    header.tensors.emplace(name, read_entry(value, place, data_bytes));
    if (const std::string* field = unknown_field(value)) {
      if (++odd_tensors == 1)
        header.warnings.push_back(fmt::format(
            "{}: field {} is not part of the format and was ignored", place, in_quotes(*field)));
    }
  }
  if (odd_tensors > 1)
    header.warnings.push_back(fmt::format("{}: {} tensors have such fields", where, odd_tensors));
  check_coverage(header.tensors, data_bytes, where);
  return header;
}

}  // namespace fluxq

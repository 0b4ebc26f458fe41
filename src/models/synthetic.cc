#include "models/synthetic.h"

#include <charconv>
#include <cmath>

#include "base/sha256.h"
#include "base/text.h"
#include "kernels/random.h"

namespace fluxq {
namespace {

/// How a kind of tensor is spread. The first rule whose suffix fits decides.
struct Rule {
  std::string_view suffix;
  float offset;
  double spread;
  bool per_input = false;  // the spread is divided by the root of a row's elements: a layer's gain
};

constexpr Rule kRules[] = {
    {".bias", 0, 0.02},
    // Scores of deviation 2.6: attention looks at some tokens, not at the mean of all.
    {"norm_q.weight", 1.6f, 0.1},
    {"norm_k.weight", 1.6f, 0.1},
    {"norm_added_q.weight", 1.6f, 0.1},
    {"norm_added_k.weight", 1.6f, 0.1},
    {"relative_attention_bias.weight", 0, 0.5},
    {"position_embedding.weight", 0, 0.2},
    {"token_embedding.weight", 0, 1},
    {"shared.weight", 0, 1},
    // Modulation: shifts, scales and gates of a few tenths.
    {".linear.weight", 0, 0.4, true},
    // T5 does not scale its scores: 1 / sqrt(d_kv = 64) is here.
    {"SelfAttention.q.weight", 0, 0.125, true},
    // Few pixels outside -1..1.
    {"conv_out.weight", 0, 0.5, true},
};
constexpr Rule kNorm = {"", 1, 0.1};
constexpr Rule kLayer = {"", 0, 1, true};

const Rule& rule_of(std::string_view tensor, const Shape& shape) {
  for (const Rule& rule : kRules)
    if (tensor.ends_with(rule.suffix)) return rule;
  return shape.size() == 1 ? kNorm : kLayer;
}

uint64_t key_of(std::string_view tensor) {
  const std::string hash = sha256_hex(tensor);
  uint64_t key = 0;
  std::from_chars(hash.data(), hash.data() + 16, key, 16);
  return key;
}

}  // namespace

RandomValues synthetic_values(std::string_view tensor, const Shape& shape) {
  const Rule& rule = rule_of(tensor, shape);
  const double inputs =
      rule.per_input ? static_cast<double>(element_count(shape)) / static_cast<double>(shape[0])
                     : 1;
  return {.key = key_of(tensor),
          .offset = rule.offset,
          .spread = static_cast<float>(rule.spread / std::sqrt(inputs))};
}

SyntheticTensors::SyntheticTensors(std::filesystem::path path, const std::string& part,
                                   const WeightPlan& plan)
    : path_(std::move(path)) {
  for (ExpectedTensor& tensor : plan.expected()) {
    const RandomValues values = synthetic_values(part + "." + tensor.name, tensor.shape);
    const auto bytes =
        static_cast<uint64_t>(element_count(tensor.shape) * dtype_bytes(DType::bf16));
    tensors_[tensor.name] = {
        {.dtype = DType::bf16, .shape = std::move(tensor.shape), .bytes = bytes}, values};
  }
}

std::vector<std::string> SyntheticTensors::names() const {
  std::vector<std::string> names;
  for (const auto& [name, formula] : tensors_) names.push_back(name);
  return names;
}

const TensorEntry* SyntheticTensors::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second.entry;
}

const SyntheticTensors::Formula& SyntheticTensors::formula(std::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end())
    fail(ErrorCode::not_found, "{}: no tensor {}", path_.string(), in_quotes(name));
  return found->second;
}

Tensor SyntheticTensors::read(std::string_view name, const CancelToken& cancel) const {
  cancel.check();
  const auto& [entry, values] = formula(name);
  Tensor tensor = Tensor::on_host(entry.dtype, entry.shape);
  fill_random_on_host(tensor, values.key, values.offset, values.spread);
  return tensor;
}

std::optional<RandomValues> SyntheticTensors::random_values(std::string_view name) const {
  return formula(name).values;
}

std::string SyntheticTensors::description() const {
  std::string lines;
  for (const auto& [name, formula] : tensors_)
    lines += fmt::format("{} {} {:016x} {} {}\n", name, to_string(formula.entry.shape),
                         formula.values.key, formula.values.offset, formula.values.spread);
  return lines;
}

}  // namespace fluxq

#include "models/stored_weights.h"

#include <algorithm>
#include <array>
#include <map>

#include "base/text.h"

namespace fluxq {
namespace {

// A set of one dtype, in static storage as ExpectedTensor asks.
std::span<const DType> only(DType dtype) {
  static const auto all = [] {
    std::array<DType, static_cast<size_t>(DType::f64) + 1> dtypes;
    for (size_t i = 0; i < dtypes.size(); ++i) dtypes[i] = static_cast<DType>(i);
    return dtypes;
  }();
  return std::span(all).subspan(static_cast<size_t>(dtype), 1);
}

using Entry = WeightPlan::Entry;

StoredWeight stored_entry(const TensorSource& source, const Entry& entry) {
  if (entry.kind != Entry::Kind::linear) return {};
  return stored_weight(source, entry.name, entry.shape[0], entry.shape[1]);
}

}  // namespace

StoredWeight stored_weight(const TensorSource& source, const std::string& name, int64_t out,
                           int64_t in) {
  return find_stored_weight(source.metadata(), name, out, in, source.path().string());
}

std::vector<ExpectedTensor> expected_tensors(const WeightPlan& plan, const TensorSource& source) {
  if (!has_stored_weights(source.metadata())) return plan.expected();
  std::vector<ExpectedTensor> expected;
  for (const Entry& entry : plan.entries()) {
    const StoredWeight stored = stored_entry(source, entry);
    if (!stored.scheme) {
      const bool named_by_layer = entry.kind != Entry::Kind::tensor;
      expected.push_back({entry.name + (named_by_layer ? ".weight" : ""), entry.shape});
    } else {
      for (PartSpec& part : stored.scheme->layout(entry.shape[0], entry.shape[1]))
        expected.push_back(
            {part_tensor_name(entry.name, part.name), std::move(part.shape), only(part.dtype)});
      if (stored.input_scale)
        expected.push_back({part_tensor_name(entry.name, kInputScalePart), {entry.shape[1]}});
    }
    if (entry.bias) expected.push_back({entry.name + ".bias", {entry.shape[0]}});
  }
  return expected;
}

PackedWeight read_stored_weight(const TensorSource& source, const std::string& name,
                                const Scheme& scheme, int64_t out, int64_t in,
                                const CancelToken& cancel) {
  PackedWeight packed{out, in, {}};
  for (const PartSpec& part : scheme.layout(out, in))
    packed.parts.push_back(source.read(part_tensor_name(name, part.name), cancel));
  scheme.check(packed, fmt::format("{}: {}", source.path().string(), in_quotes(name)));
  return packed;
}

std::optional<Recipe> stored_recipe(std::span<const StoredPart> parts) {
  std::map<std::string, const Scheme*> layers;
  std::map<const Scheme*, int64_t> counts;
  for (const StoredPart& part : parts) {
    if (!has_stored_weights(part.source.metadata())) continue;
    for (const Entry& entry : part.plan.entries()) {
      const Scheme* scheme = stored_entry(part.source, entry).scheme;
      if (!scheme) continue;
      layers[fmt::format("{}.{}", part.name, entry.name)] = scheme;
      ++counts[scheme];
    }
  }
  if (layers.empty()) return std::nullopt;
  const Scheme* main = nullptr;
  for (const Scheme* scheme : all_schemes())
    if (counts[scheme] > (main ? counts[main] : 0)) main = scheme;
  return Recipe::stored(*main, layers);
}

}  // namespace fluxq

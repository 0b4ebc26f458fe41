/// Shows that each promise would be noticed when broken: a toy scheme (8 bits, one scale per row,
/// plain loops) keeps all of them, and each of its defective variants breaks the one named beside
/// it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/cpu/cpu_kernels.h"
#include "quant/conformance/properties.h"
#include "quant/formats/weight.h"

namespace fluxq::conformance {
namespace {

enum class Defect : uint8_t {
  none,
  truncates_codes,
  allows_anything,
  bound_not_finite,
  packs_nan_as_zero,
  forgets_the_index,
  declares_other_shape,
  declares_other_bits,
  refuses_silently,
  crashes_on_odd_shapes,
  checks_nothing,
  accepts_zero_scale,
  accepts_nan_scale,
  truncates_input,
  ignores_input_scale,
  drops_last_column,
  forgets_bias,
  applies_act_after_gate,
  forgets_gate_of_second_sample,
  overwrites_residual,
  multiplies_in_bf16,
  loads_from_column_zero,
  ignores_column_count,
  joins_in_reverse,
  packs_otherwise_on_the_device,
  turns_nan_to_zero,
  spreads_nan_over_batch,
  depends_on_threads,
  scales_over_the_batch,
  count,
};

float toy_scale(const float* x, int64_t count) {
  float amax = 0x1p-120f;
  for (int64_t i = 0; i < count; ++i) amax = std::max(amax, std::abs(x[i]));
  for (int64_t i = 0; i < count; ++i)
    if (std::isnan(x[i])) amax = x[i];
  return amax / 127;
}

struct ToyWeight final : DeviceWeight {
  std::vector<float> values;  // [out, in]
};

class ToyKernels final : public SchemeKernels {
 public:
  ToyKernels(const Scheme& scheme, Kernels& kernels, Defect defect)
      : scheme_(scheme), kernels_(dynamic_cast<CpuKernels&>(kernels)), defect_(defect) {}
  std::string kernel_name() const override { return "loops"; }
  FusedParts fused() const override { return {true, true, true, true}; }

  std::shared_ptr<DeviceWeight> load(const PackedWeight& weight, int64_t in_begin,
                                     int64_t in_count) override {
    if (defect_ == Defect::loads_from_column_zero) in_begin = 0;
    if (defect_ == Defect::ignores_column_count && in_begin > 0) in_count -= 1;
    auto loaded = std::make_shared<ToyWeight>();
    const std::vector<float> all = scheme_.unpack(weight);
    for (int64_t i = 0; i < weight.out * in_count; ++i)
      loaded->values.push_back(
          all[static_cast<size_t>(i / in_count * weight.in + in_begin + i % in_count)]);
    loaded->out = weight.out;
    loaded->in = in_count;
    return loaded;
  }

  std::optional<PackedWeight> pack(const Tensor& weight, std::string_view name) override {
    PackedWeight packed = scheme_.pack(weight, name);
    if (defect_ == Defect::packs_otherwise_on_the_device) packed.parts[0].data<int8_t>()[0] ^= 1;
    return packed;
  }

  std::shared_ptr<DeviceWeight> join(
      std::span<const std::shared_ptr<DeviceWeight>> weights) override {
    auto joined = std::make_shared<ToyWeight>();
    std::vector<std::shared_ptr<DeviceWeight>> order(weights.begin(), weights.end());
    if (defect_ == Defect::joins_in_reverse) std::ranges::reverse(order);
    for (const auto& weight : order) {
      const auto& values = static_cast<const ToyWeight&>(*weight).values;
      joined->values.insert(joined->values.end(), values.begin(), values.end());
      joined->out += weight->out;
      joined->in = weight->in;
    }
    return joined;
  }

  Prepared prepare(const Producer& input) override {
    const Rows& x = input.x;
    Producer producer = input;
    if (defect_ == Defect::ignores_input_scale) producer.input_scale = {};
    const Tensor values = kernels_.arena().take(DType::f32, {x.batch, x.rows, x.cols});
    kernels_.produce(producer, values);
    const Tensor scale = kernels_.arena().take(DType::f32, {x.batch * x.rows});
    for (int64_t r = 0; r < x.batch * x.rows; ++r) {
      float* row = values.data<float>() + r * x.cols;
      if (defect_ == Defect::turns_nan_to_zero)
        std::replace_if(
            row, row + x.cols, [](float v) { return std::isnan(v); }, 0.0f);
      scale.data<float>()[r] = toy_scale(row, x.cols);
    }
    float* scales = scale.data<float>();
    if (defect_ == Defect::scales_over_the_batch)
      std::fill_n(scales, scale.elements(), *std::max_element(scales, scales + scale.elements()));
    if (defect_ == Defect::spreads_nan_over_batch)
      for (int64_t r = 0; r < scale.elements(); ++r) {
        if (std::isnan(scales[r])) std::fill_n(scales, scale.elements(), NAN);
      }
    for (int64_t i = 0; i < values.elements(); ++i) {
      float& value = values.data<float>()[i];
      const float steps = value / scales[i / x.cols];
      value = defect_ == Defect::truncates_input ? std::trunc(steps) : std::nearbyint(steps);
    }
    if (defect_ == Defect::depends_on_threads && kernels_.pool().size() == 5)
      values.data<float>()[0] += 1;
    return {values, scale};
  }

  void matmul(const Prepared& input, const DeviceWeight& weight, const Epilogue& epilogue,
              const Rows& out) override {
    const auto& toy = static_cast<const ToyWeight&>(weight);
    const std::vector<float> x = dequantize(input);
    const int64_t in = input.codes.cols;
    for (int64_t b = 0; b < out.batch; ++b) {
      for (int64_t r = 0; r < out.rows; ++r) {
        for (int64_t o = 0; o < out.cols; ++o) {
          const float* row = &x[static_cast<size_t>((b * out.rows + r) * in)];
          float sum = 0;
          for (int64_t i = 0; i < toy.in - (defect_ == Defect::drops_last_column); ++i) {
            sum += row[i] * toy.values[static_cast<size_t>(o * toy.in + i)];
            if (defect_ == Defect::multiplies_in_bf16) sum = static_cast<float>(bf16(sum));
          }
          out.row<bf16>(b, r)[o] = bf16(ended(sum, epilogue, b, r, o));
        }
      }
    }
  }

  std::vector<float> dequantize(const Prepared& input) override {
    const Rows& codes = input.codes;
    std::vector<float> values;
    for (int64_t i = 0; i < codes.batch * codes.rows * codes.cols; ++i)
      values.push_back(static_cast<const float*>(codes.data)[i] *
                       input.scale.data<float>()[i / codes.cols]);
    return values;
  }

 private:
  float ended(float sum, const Epilogue& epilogue, int64_t b, int64_t r, int64_t o) const {
    double v = sum;
    if (!epilogue.bias.empty() && defect_ != Defect::forgets_bias)
      v += static_cast<float>(epilogue.bias.data<bf16>()[o]);
    const auto gated = [&](double value) {
      if (epilogue.gate.empty()) return value;
      if (defect_ == Defect::forgets_gate_of_second_sample && b == 1) return value;
      return value * static_cast<float>(epilogue.gate.row<bf16>(b, 0)[o]);
    };
    v = defect_ == Defect::applies_act_after_gate ? activated(epilogue.act, gated(v))
                                                  : gated(activated(epilogue.act, v));
    if (!epilogue.residual.empty() && defect_ != Defect::overwrites_residual)
      v += static_cast<float>(epilogue.residual.row<bf16>(b, r)[o]);
    return static_cast<float>(v);
  }

  static double activated(Act act, double v) {
    switch (act) {
      case Act::gelu_tanh:
        return v / (1 + std::exp(-2 * std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
      case Act::gelu_erf:
        return 0.5 * v * std::erfc(-v / std::sqrt(2.0));
      case Act::quick_gelu:
        return v / (1 + std::exp(-1.702 * v));
      case Act::relu:
        return v > 0 ? v : 0;
      case Act::silu:
        return v / (1 + std::exp(-v));
      default:
        return v;
    }
  }

  const Scheme& scheme_;
  CpuKernels& kernels_;
  Defect defect_;
};

class Toy final : public Scheme {
 public:
  explicit Toy(Defect defect) : defect_(defect) {
    info_.name = "toy";
    info_.bits_per_weight = defect == Defect::declares_other_bits ? 4 : 8;
  }
  const SchemeInfo& info() const override { return info_; }

  std::optional<std::string> refuses(int64_t /*out*/, int64_t in) const override {
    if (defect_ == Defect::refuses_silently && in % 4 != 0) return "in is not a multiple of 4";
    return std::nullopt;
  }

  std::vector<PartSpec> layout(int64_t out, int64_t in) const override {
    const int64_t scales = defect_ == Defect::declares_other_shape ? 1 : out;
    return {{"qdata", DType::i8, {out, in}}, {"scale", DType::f32, {scales, 1}}};
  }

  PackedWeight pack(const Tensor& weight, std::string_view name) const override {
    const int64_t out = weight.dim(0), in = weight.dim(1);
    if (defect_ == Defect::crashes_on_odd_shapes && in % 2 == 1) throw std::logic_error("odd");
    Tensor values = defect_ == Defect::packs_nan_as_zero || defect_ == Defect::forgets_the_index
                        ? as_bf16_values(weight)
                        : quantizable_weight(weight, name);
    if (defect_ == Defect::forgets_the_index) {
      for (int64_t i = 0; i < values.elements(); ++i)
        if (!std::isfinite(values.data<float>()[i]))
          fail(ErrorCode::numeric, "weight {}: a NaN", name);
    }
    PackedWeight packed{
        out, in, {Tensor::on_host(DType::i8, {out, in}), Tensor::on_host(DType::f32, {out, 1})}};
    for (int64_t i = 0; i < values.elements(); ++i) {
      float& value = values.data<float>()[i];
      if (defect_ == Defect::packs_nan_as_zero && !std::isfinite(value)) value = 0;
    }
    for (int64_t r = 0; r < out; ++r) {
      const float* row = values.data<float>() + r * in;
      const float scale = toy_scale(row, in);
      packed.parts[1].data<float>()[r] = scale;
      for (int64_t i = 0; i < in; ++i) {
        const float steps = row[i] / scale;
        packed.parts[0].data<int8_t>()[r * in + i] = static_cast<int8_t>(
            defect_ == Defect::truncates_codes ? std::trunc(steps) : std::nearbyint(steps));
      }
    }
    return packed;
  }

  std::vector<float> unpack(const PackedWeight& weight) const override {
    std::vector<float> values;
    for (int64_t i = 0; i < weight.out * weight.in; ++i)
      values.push_back(weight.parts[0].data<int8_t>()[i] *
                       weight.parts[1].data<float>()[i / weight.in]);
    return values;
  }

  void check(const PackedWeight& weight, std::string_view name) const override {
    if (defect_ == Defect::checks_nothing) return;
    PackedWeight seen = weight;
    const bool has_scale = seen.parts.size() == 2 && seen.parts[1].dtype() == DType::f32;
    if (has_scale && !seen.parts[1].empty()) {
      seen.parts[1] = converted(seen.parts[1], DType::f32);
      float& last = seen.parts[1].data<float>()[seen.parts[1].elements() - 1];
      if (defect_ == Defect::accepts_zero_scale && last == 0) last = 1;
      if (defect_ == Defect::accepts_nan_scale && std::isnan(last)) last = 1;
    }
    Scheme::check(seen, name);
  }

  std::vector<float> pack_bound(const Tensor& weight) const override {
    std::vector<float> bound = row_bounds(weight, [](const float* x, int64_t count, float* out) {
      std::fill_n(out, count, toy_scale(x, count) * 0.501f);
    });
    if (defect_ == Defect::allows_anything)
      for (float& value : bound) value *= 1000;
    if (defect_ == Defect::bound_not_finite) bound.back() = INFINITY;
    return bound;
  }
  std::vector<float> input_bound(const Tensor& x) const override {
    return row_bounds(x, [](const float* row, int64_t count, float* out) {
      std::fill_n(out, count, toy_scale(row, count) * 0.501f);
    });
  }

  std::unique_ptr<SchemeKernels> on(Kernels& kernels) const override {
    return std::make_unique<ToyKernels>(*this, kernels, defect_);
  }

 private:
  Defect defect_;
  SchemeInfo info_;
};

// Whether the toy with this defect is found to break the property.
bool is_noticed(Defect defect, std::string_view name) {
  const Toy toy(defect);
  const auto property = std::ranges::find(kProperties, name, &Property::name);
  try {
    return !property->check({toy, make_cpu_kernels}).empty();
  } catch (const std::exception&) {
    return true;
  }
}

TEST(ToyScheme, WithoutDefectKeepsEveryPromise) {
  const Toy toy(Defect::none);
  for (const Property& property : kProperties) {
    for (const std::string& failure : property.check({toy, make_cpu_kernels}))
      ADD_FAILURE() << property.name << ": " << failure;
  }
}

TEST(ToyScheme, EachDefectBreaksItsPromise) {
  const std::vector<std::pair<Defect, std::string_view>> expected = {
      {Defect::truncates_codes, "packs_within_bound"},
      {Defect::allows_anything, "packs_within_bound"},
      {Defect::bound_not_finite, "packs_within_bound"},
      {Defect::packs_nan_as_zero, "refuses_weights_without_a_number"},
      {Defect::forgets_the_index, "refuses_weights_without_a_number"},
      {Defect::declares_other_shape, "declares_its_parts"},
      {Defect::declares_other_bits, "declares_its_parts"},
      {Defect::refuses_silently, "takes_or_refuses_shapes"},
      {Defect::crashes_on_odd_shapes, "takes_or_refuses_shapes"},
      {Defect::checks_nothing, "refuses_corrupt_parts"},
      {Defect::accepts_zero_scale, "refuses_corrupt_parts"},
      {Defect::accepts_nan_scale, "refuses_corrupt_parts"},
      {Defect::truncates_input, "prepares_within_bound"},
      {Defect::ignores_input_scale, "prepares_within_bound"},
      {Defect::drops_last_column, "multiplies_what_is_stored"},
      {Defect::forgets_bias, "multiplies_what_is_stored"},
      {Defect::applies_act_after_gate, "multiplies_what_is_stored"},
      {Defect::forgets_gate_of_second_sample, "multiplies_what_is_stored"},
      {Defect::overwrites_residual, "multiplies_what_is_stored"},
      {Defect::multiplies_in_bf16, "multiplies_what_is_stored"},
      {Defect::loads_from_column_zero, "splits_columns"},
      {Defect::ignores_column_count, "splits_columns"},
      {Defect::joins_in_reverse, "joins_outputs"},
      {Defect::packs_otherwise_on_the_device, "packs_alike_on_the_device"},
      {Defect::turns_nan_to_zero, "keeps_nan_in_its_place"},
      {Defect::spreads_nan_over_batch, "keeps_nan_in_its_place"},
      {Defect::depends_on_threads, "does_not_depend_on_threads"},
      {Defect::scales_over_the_batch, "does_not_depend_on_the_batch"},
  };
  EXPECT_EQ(expected.size() + 1, static_cast<size_t>(Defect::count)) << "a defect is not tried";
  for (const Property& property : kProperties) {
    EXPECT_TRUE(
        std::ranges::any_of(expected, [&](const auto& e) { return e.second == property.name; }))
        << property.name << " is never seen to fail";
  }
  for (const auto& [defect, property] : expected)
    EXPECT_TRUE(is_noticed(defect, property))
        << "defect " << static_cast<int>(defect) << " passes " << property;
}

}  // namespace
}  // namespace fluxq::conformance

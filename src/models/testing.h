/// For the tests of models: linear layers that are nothing but their definition, and golden files.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/test_support.h"
#include "checkpoint/safetensors.h"
#include "models/linear.h"
#include "quant/recipe.h"

namespace fluxq::testing {

inline std::filesystem::path golden_folder() {
  return std::filesystem::path(FLUXQ_SOURCE_DIR) / "tests/golden";
}

inline const SafetensorsFile& golden_units() {
  static const SafetensorsFile file(golden_folder() / "models_units.safetensors");
  return file;
}

/// Plain f32 layers for any kernels of the host, summed in double. Counts what it is asked for, and
/// fuses what it is told to.
class RefLinear final : public SchemeKernels {
 public:
  explicit RefLinear(Kernels& kernels, FusedParts fused = {true, true, true, true})
      : kernels_(kernels), fused_(fused) {}

  int prepared = 0, multiplied = 0;
  JointAttention* attention = nullptr;  ///< that the latest product was told of
  int64_t joined_heads = 0;             ///< of the latest join_heads()

  std::string kernel_name() const override { return "definition"; }
  FusedParts fused() const override { return fused_; }

  std::shared_ptr<DeviceWeight> load(const PackedWeight& packed, int64_t in_begin,
                                     int64_t in_count) override {
    auto weight = std::make_shared<Weight>();
    const std::vector<float> all = to_floats(packed.parts[0]);
    for (int64_t row = 0; row < packed.out; ++row) {
      const auto begin = all.begin() + row * packed.in + in_begin;
      weight->values.insert(weight->values.end(), begin, begin + in_count);
    }
    weight->out = packed.out;
    weight->in = in_count;
    weight->bytes = static_cast<int64_t>(weight->values.size() * sizeof(float));
    return weight;
  }

  /// Side by side.
  std::shared_ptr<DeviceWeight> join_heads(std::span<const std::shared_ptr<DeviceWeight>> weights,
                                           int64_t heads) override {
    joined_heads = heads;
    if (heads == 0) return nullptr;
    auto all = std::make_shared<Weight>();
    for (const auto& weight : weights) {
      const auto& values = static_cast<const Weight&>(*weight).values;
      all->values.insert(all->values.end(), values.begin(), values.end());
      all->out += weight->out;
      all->in = weight->in;
    }
    return all;
  }

  Prepared prepare(const Producer& input) override {
    ++prepared;
    const Rows codes =
        kernels_.arena().take(input.x.dtype, {input.x.batch, input.x.rows, input.x.cols});
    kernels_.produce(input, codes);
    return {codes, {}};
  }

  void matmul(const Prepared& input, const DeviceWeight& device, const Epilogue& epilogue,
              const Rows& out) override {
    ++multiplied;
    attention = epilogue.heads.attention;
    const auto& weight = static_cast<const Weight&>(device);
    const Rows& x = input.codes;
    Arena::Scope scope(kernels_.arena());
    const Rows product = kernels_.arena().take(DType::f32, {x.batch, x.rows, weight.out});
    for (int64_t b = 0; b < x.batch; ++b)
      for (int64_t r = 0; r < x.rows; ++r)
        for (int64_t o = 0; o < weight.out; ++o)
          product.row<float>(b, r)[o] = dot(x, b, r, weight.values.data() + o * weight.in);
    kernels_.apply(epilogue, product, out);
    if (attention) norm_heads(*attention, attention->streams[epilogue.heads.stream], out);
  }

  std::vector<float> dequantize(const Prepared&) override { return {}; }

 private:
  struct Weight final : DeviceWeight {
    std::vector<float> values;
  };

  void norm_heads(const JointAttention& args, JointAttention::Stream& stream, const Rows& qkv) {
    const int64_t width = qkv.cols / 3;
    kernels_.qk_norm_rope(qkv.columns(0, width), qkv.columns(width, width), stream.q_weight,
                          stream.k_weight,
                          args.rope.slice(stream.first, stream.first + stream.count), args.eps);
    stream.normed = true;
  }

  static float dot(const Rows& x, int64_t batch, int64_t row, const float* weight) {
    double sum = 0;
    for (int64_t i = 0; i < x.cols; ++i) {
      const float value = x.dtype == DType::f32 ? x.row<float>(batch, row)[i]
                                                : static_cast<float>(x.row<bf16>(batch, row)[i]);
      sum += static_cast<double>(value) * static_cast<double>(weight[i]);
    }
    return static_cast<float>(sum);
  }

  Kernels& kernels_;
  FusedParts fused_;
};

/// The scheme that RefLinear runs: f32, not in the registry.
class RefScheme final : public Scheme {
 public:
  explicit RefScheme(FusedParts fused = {true, true, true, true}) : fused_(fused) {}
  const SchemeInfo& info() const override {
    static const SchemeInfo info = {"definition", "", "f32", "f32", 32, "", ""};
    return info;
  }
  DType stream() const override { return DType::f32; }
  std::vector<PartSpec> layout(int64_t out, int64_t in) const override {
    return {{"weight", DType::f32, {out, in}}};
  }
  PackedWeight pack(const Tensor& weight, std::string_view) const override {
    return {weight.dim(0), weight.dim(1), {converted(weight, DType::f32)}};
  }
  std::vector<float> unpack(const PackedWeight& weight) const override {
    return to_floats(weight.parts[0]);
  }
  std::vector<float> pack_bound(const Tensor& weight) const override {
    return std::vector<float>(static_cast<size_t>(weight.elements()));
  }
  std::unique_ptr<SchemeKernels> on(Kernels& kernels) const override {
    return std::make_unique<RefLinear>(kernels, fused_);
  }
  bool runs_on(Device device) const override { return device == Device::cpu; }

  /// A recipe that gives every layer this scheme.
  Recipe everywhere() const {
    TempFolder folder;
    const std::filesystem::path file = folder / "recipe.json";
    atomic_write(file, R"({"name": "all", "rules": [{"pattern": "*"}]})");
    return Recipe::load(file, *this);
  }

 private:
  FusedParts fused_;
};

}  // namespace fluxq::testing

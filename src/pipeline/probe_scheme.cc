#include "pipeline/probe_scheme.h"

#include <cmath>
#include <numeric>

#include "models/weights.h"

namespace fluxq {
namespace {

constexpr std::string_view kWeightSuffix = ".weight";

struct ProbeWeight final : DeviceWeight {
  std::shared_ptr<DeviceWeight> baseline, studied;
  LayerDistortion* layer = nullptr;
};

void append(std::vector<PartSpec>& parts, const Scheme& scheme, int64_t out, int64_t in) {
  for (PartSpec& part : scheme.layout(out, in)) {
    part.name = scheme.info().name + "." + part.name;
    parts.push_back(std::move(part));
  }
}

/// [batch, rows, cols] floats on the host.
Tensor to_host(Kernels& kernels, const Rows& rows) {
  Arena::Scope scope(kernels.arena());
  const Tensor dense = kernels.arena().take(DType::f32, {rows.batch, rows.rows, rows.cols});
  kernels.produce({.x = rows}, dense);
  return kernels.download(dense);
}

}  // namespace

double Deviation::relative() const { return noise == 0 ? 0 : std::sqrt(noise / signal); }

double Deviation::snr_db() const { return 10 * std::log10(noise == 0 ? INFINITY : signal / noise); }

class ProbeKernels final : public SchemeKernels {
 public:
  ProbeKernels(const ProbeScheme& scheme, Kernels& kernels)
      : scheme_(scheme),
        kernels_(kernels),
        baseline_(scheme.baseline_.on(kernels)),
        studied_(scheme.studied_.on(kernels)) {}

  std::string kernel_name() const override { return baseline_->kernel_name(); }
  FusedParts fused() const override { return baseline_->fused(); }

  int64_t loaded_bytes(int64_t out, std::span<const int64_t> columns,
                       int64_t /*packed_bytes*/) const override {
    const int64_t in = std::accumulate(columns.begin(), columns.end(), int64_t{0});
    return baseline_->loaded_bytes(out, columns, layout_bytes(scheme_.baseline_, out, in)) +
           studied_->loaded_bytes(out, columns, layout_bytes(scheme_.studied_, out, in));
  }
  std::shared_ptr<DeviceWeight> load(const PackedWeight& packed, int64_t in_begin,
                                     int64_t in_count) override {
    const ProbeScheme::Halves halves = scheme_.halves(packed);
    auto weight = std::make_shared<ProbeWeight>();
    weight->baseline = baseline_->load(halves.baseline, in_begin, in_count);
    weight->studied = studied_->load(halves.studied, in_begin, in_count);
    weight->out = packed.out;
    weight->in = in_count;
    weight->bytes = weight->baseline->bytes + weight->studied->bytes;
    weight->layer =
        &scheme_.layers_.emplace_back(scheme_.weights_[static_cast<size_t>(halves.number)]);
    weight->layer->in_begin = in_begin;
    weight->layer->in_count = in_count;
    return weight;
  }

  Prepared prepare(const Producer& input) override { return baseline_->prepare(input); }

  void matmul(const Prepared& input, const DeviceWeight& weight, const Epilogue& epilogue,
              const Rows& out) override {
    const auto& probe = static_cast<const ProbeWeight&>(weight);
    note(input, probe);
    baseline_->matmul(input, *probe.baseline, epilogue, out);
  }

  std::vector<float> dequantize(const Prepared& input) override {
    return baseline_->dequantize(input);
  }

 private:
  // What the baseline prepared holds the input's values, so the studied scheme starts from the
  // same.
  void note(const Prepared& input, const ProbeWeight& weight) {
    Arena::Scope scope(kernels_.arena());
    const Rows& x = input.codes;
    LayerDistortion& layer = *weight.layer;
    const Prepared quantized = studied_->prepare({.x = x});

    const std::vector<float> exact_input = to_floats(to_host(kernels_, x));
    const std::vector<float> got_input = studied_->dequantize(quantized);
    for (size_t i = 0; i < exact_input.size(); ++i) {
      layer.input.add(exact_input[i], got_input[i]);
      layer.inputs_zeroed += exact_input[i] != 0 && got_input[i] == 0;
    }
    layer.inputs += static_cast<int64_t>(exact_input.size());

    const Tensor exact = kernels_.arena().take(DType::f32, {x.batch, x.rows, weight.out});
    const Tensor got = kernels_.arena().take(DType::f32, {x.batch, x.rows, weight.out});
    baseline_->matmul(input, *weight.baseline, {}, exact);
    studied_->matmul(quantized, *weight.studied, {}, got);
    const Tensor exact_host = kernels_.download(exact), got_host = kernels_.download(got);
    for (int64_t i = 0; i < exact_host.elements(); ++i)
      layer.output.add(exact_host.data<float>()[i], got_host.data<float>()[i]);
  }

  const ProbeScheme& scheme_;
  Kernels& kernels_;
  std::unique_ptr<SchemeKernels> baseline_, studied_;
};

ProbeScheme::ProbeScheme(const Scheme& baseline, const Scheme& studied)
    : baseline_(baseline), studied_(studied), info_(baseline.info()) {
  info_.name = fmt::format("{} with {} studied", baseline.info().name, studied.info().name);
}

std::vector<PartSpec> ProbeScheme::layout(int64_t out, int64_t in) const {
  std::vector<PartSpec> parts;
  append(parts, baseline_, out, in);
  append(parts, studied_, out, in);
  parts.push_back({"number", DType::i64, {1}});
  return parts;
}

PackedWeight ProbeScheme::pack(const Tensor& weight, std::string_view name) const {
  PackedWeight packed = baseline_.pack(weight, name);
  PackedWeight studied = studied_.pack(weight, name);
  const std::vector<float> exact = to_floats(weight), got = studied_.unpack(studied),
                           bound = studied_.pack_bound(weight);
  if (name.ends_with(kWeightSuffix)) name.remove_suffix(kWeightSuffix.size());
  LayerDistortion seen;
  seen.layer = name;
  seen.scheme = studied_.info().name;
  seen.out = packed.out;
  seen.in = packed.in;
  for (size_t i = 0; i < exact.size(); ++i) {
    seen.weight.add(exact[i], got[i]);
    seen.zeroed += exact[i] != 0 && got[i] == 0;
    seen.saturated += std::abs(exact[i]) - std::abs(got[i]) > bound[i];
  }
  const auto number = static_cast<int64_t>(weights_.size());
  weights_.push_back(std::move(seen));
  packed.parts.insert(packed.parts.end(), studied.parts.begin(), studied.parts.end());
  packed.parts.push_back(Tensor::from<int64_t>({number}, {1}));
  return packed;
}

std::vector<float> ProbeScheme::unpack(const PackedWeight& weight) const {
  return baseline_.unpack(halves(weight).baseline);
}

ProbeScheme::Halves ProbeScheme::halves(const PackedWeight& weight) const {
  const auto begin = weight.parts.begin(), end = weight.parts.end() - 1;
  const auto middle =
      begin + static_cast<ptrdiff_t>(baseline_.layout(weight.out, weight.in).size());
  return {{weight.out, weight.in, {begin, middle}},
          {weight.out, weight.in, {middle, end}},
          weight.parts.back().data<int64_t>()[0]};
}

std::unique_ptr<SchemeKernels> ProbeScheme::on(Kernels& kernels) const {
  return std::make_unique<ProbeKernels>(*this, kernels);
}

}  // namespace fluxq

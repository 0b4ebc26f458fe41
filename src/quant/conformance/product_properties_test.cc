// The promises about inputs and products on a device.
#include <algorithm>
#include <cstring>

#include "quant/conformance/properties.h"

namespace fluxq::conformance {
namespace {

Producer plain(const Tensor& x) {
  Producer producer;
  producer.x = x;
  return producer;
}

// `tensor` [batch * rows, cols] on the device as [batch, rows, cols].
Tensor on_device(Kernels& kernels, const Tensor& tensor, int64_t batch) {
  return kernels.upload(tensor.reshaped({batch, tensor.dim(0) / batch, tensor.dim(1)}));
}

// x through the scheme: what prepare() means, and the product as floats.
struct Result {
  std::vector<float> input;   // [batch, rows, in]
  std::vector<float> output;  // [batch, rows, out], rounded to the stream's dtype
  KernelRounding rounding = {};
};

struct Run {
  Tensor x;  // host, [batch * rows, in], the stream's dtype
  int64_t batch = 1;
  const PackedWeight* weight = nullptr;
  int64_t in_begin = 0, in_count = 0;  // 0: all
  Epilogue epilogue = {};              // on the device
};

Result multiply(const Subject& subject, Kernels& kernels, const Run& run) {
  const auto on = subject.scheme.on(kernels);
  const int64_t count = run.in_count == 0 ? run.weight->in : run.in_count;
  const auto weight = on->load(*run.weight, run.in_begin, count);
  const Tensor x = on_device(kernels, run.x, run.batch);
  const Tensor out =
      kernels.allocate(subject.scheme.stream(), {x.dim(0), x.dim(1), run.weight->out});
  Arena::Scope scope(kernels.arena());
  const Prepared prepared = on->prepare(plain(x));
  on->matmul(prepared, *weight, run.epilogue, out);
  kernels.synchronize();
  return {on->dequantize(prepared), to_floats(kernels.download(out)), on->rounding()};
}

double activated(Act act, double v) {
  switch (act) {
    case Act::gelu_tanh:
      return 0.5 * v * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
    case Act::gelu_erf:
      return 0.5 * v * (1 + std::erf(v / std::sqrt(2.0)));
    case Act::quick_gelu:
      return v / (1 + std::exp(-1.702 * v));
    case Act::relu:
      return std::max(v, 0.0);
    case Act::silu:
      return v / (1 + std::exp(-v));
    default:
      return v;
  }
}

// The epilogue's operands as floats; empty ones neutral.
struct Ending {
  Act act = Act::none;
  std::vector<float> bias, gate, residual;
};

// Compares with sum_i input[i] * weight[i] in double and its ending. What may differ: a sum of n
// products, each addition rounded by 2^-24 (or what the kernel declares), is off by at most (n + 8)
// 2^-24 sum |product| whatever its order (the 8: scales); dot products of bf16 may drop subnormal
// numbers, which costs 2^-126 times the other factor; the ending rounds a few times in float and
// once to the stream's dtype; no activation is steeper than 1.2.
void compare(const std::string& what, const Subject& subject, const Run& run, const Result& got,
             const Ending& ending, Failures& failures) {
  const int64_t in_all = run.weight->in, out = run.weight->out;
  const int64_t in = run.in_count == 0 ? in_all : run.in_count;
  const int64_t rows = run.x.dim(0), rows_per_sample = rows / run.batch;
  const std::vector<float> weight = subject.scheme.unpack(*run.weight);
  const double last = subject.scheme.stream() == DType::bf16 ? 0x1p-8 : 0x1p-24;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t o = 0; o < out; ++o) {
      double sum = 0, magnitude = 0, factors = 0;
      for (int64_t i = 0; i < in; ++i) {
        const double a = got.input[static_cast<size_t>(r * in + i)];
        const double w = weight[static_cast<size_t>(o * in_all + run.in_begin + i)];
        sum += a * w;
        magnitude += std::abs(a * w);
        factors += 1 + std::abs(a) + std::abs(w);
      }
      double allowed =
          static_cast<double>(in + 8) * got.rounding.sum * magnitude + 0x1p-126 * factors;
      const auto at = static_cast<size_t>(r * out + o);
      const double bias = ending.bias.empty() ? 0 : ending.bias[static_cast<size_t>(o)];
      const double biased = sum + bias;
      const double active = activated(ending.act, biased);
      allowed = 1.2 * (allowed + 0x1p-23 * (std::abs(biased) + std::abs(bias))) +
                0x1p-20 * std::abs(active);
      const auto gate_at = static_cast<size_t>(r / rows_per_sample * out + o);
      const double gate = ending.gate.empty() ? 1 : ending.gate[gate_at];
      const double residual = ending.residual.empty() ? 0 : ending.residual[at];
      const double expected = residual + gate * active;
      allowed = std::abs(gate) * allowed + 0x1p-22 * (std::abs(residual) + std::abs(gate * active));
      if (!ending.gate.empty()) allowed += got.rounding.gated_bias * std::abs(gate * bias);
      allowed += last * (std::abs(expected) + allowed);
      const double error = std::abs(got.output[at] - expected);
      if (error <= allowed) continue;  // false for NaN
      failures.push_back(fmt::format("{}: out[{}, {}] is {}, expected {} within {}", what, r, o,
                                     got.output[at], expected, allowed));
      return;
    }
  }
}

bool same_bytes(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

std::vector<float> part(const std::vector<float>& values, int64_t begin, int64_t count) {
  return {values.begin() + begin, values.begin() + begin + count};
}

}  // namespace

Failures prepares_within_bound(const Subject& subject) {
  constexpr int64_t kBatch = 2, kRows = 9, kIn = 256;
  const DType stream = subject.scheme.stream();
  const auto kernels = subject.kernels(2);
  const auto on = subject.scheme.on(*kernels);
  Failures failures;
  const auto check = [&](const std::string& what, const Producer& producer) {
    Arena::Scope scope(kernels->arena());
    const Tensor produced = kernels->arena().take(stream, {kBatch, kRows, kIn});
    kernels->produce(producer, produced);
    const std::vector<float> got = on->dequantize(on->prepare(producer));
    const Tensor expected = kernels->download(produced);
    if (got.size() != static_cast<size_t>(expected.elements())) {
      failures.push_back(fmt::format("{}: {} values", what, got.size()));
      return;
    }
    for (int64_t b = 0; b < kBatch; ++b) {
      const Tensor sample =
          expected.reshaped({kBatch * kRows, kIn}).slice(b * kRows, (b + 1) * kRows);
      const std::vector<float> x = to_floats(sample), bound = subject.scheme.input_bound(sample);
      for (size_t i = 0; i < x.size(); ++i) {
        const float value = got[static_cast<size_t>(b * kRows * kIn) + i];
        if (std::isfinite(bound[i]) && std::abs(static_cast<double>(value) - x[i]) <= bound[i])
          continue;
        failures.push_back(fmt::format("{}, sample {} at {}: got {}, expected {} within {}", what,
                                       b, i, value, x[i], bound[i]));
        return;
      }
    }
  };
  for (const auto& [name, x] : difficult(stream, kBatch * kRows, kIn, 11, kLargestInput))
    check(name, plain(on_device(*kernels, x, kBatch)));

  const Tensor x = on_device(*kernels, noise(stream, kBatch * kRows, kIn, 12, 3), kBatch);
  const Tensor shift = kernels->upload(noise(stream, kBatch, kIn, 13)).reshaped({kBatch, 1, kIn});
  const Tensor scale = kernels->upload(noise(stream, kBatch, kIn, 14)).reshaped({kBatch, 1, kIn});
  const Tensor weight = kernels->upload(noise(stream, 1, kIn, 15)).reshaped({kIn});
  Producer modulated = plain(x);
  modulated.kind = Producer::Kind::layer_norm;
  modulated.shift = shift;
  modulated.scale = scale;
  modulated.eps = 1e-6f;
  check("layer norm and modulation", modulated);
  Producer normed = plain(x);
  normed.kind = Producer::Kind::rms_norm;
  normed.weight = weight;
  normed.eps = 1e-6f;
  check("rms norm", normed);
  Producer gated = plain(x);
  gated.act = Act::gelu_tanh;
  gated.factor = x;
  check("gelu times factor", gated);
  Producer smoothed = plain(x);
  smoothed.input_scale = kernels->upload(noise(DType::f32, 1, kIn, 16)).reshaped({kIn});
  check("input scale", smoothed);
  return failures;
}

Failures multiplies_what_is_stored(const Subject& subject) {
  const Scheme& scheme = subject.scheme;
  const DType stream = scheme.stream();
  const auto kernels = subject.kernels(2);
  Failures failures;
  struct Size {
    int64_t batch, rows, in, out;
  };
  for (const Size& s :
       {Size{1, 1, 128, 1}, Size{2, 3, 128, 5}, Size{1, 17, 256, 129}, Size{1, 2, 7, 3},
        Size{1, 1, 1, 1}, Size{3, 1, 132, 40}, Size{70, 1, 136, 40}, Size{4, 1, 400, 72},
        Size{70, 1, 1168, 40}, Size{2, 150, 384, 272}}) {
    if (scheme.refuses(s.out, s.in)) continue;
    const PackedWeight weight = scheme.pack(noise(DType::bf16, s.out, s.in, 21, 0.05f), "w");
    const Run run = {noise(stream, s.batch * s.rows, s.in, 22), s.batch, &weight};
    compare(fmt::format("{} x {} x {} -> {}", s.batch, s.rows, s.in, s.out), subject, run,
            multiply(subject, *kernels, run), {}, failures);
  }

  constexpr int64_t kBatch = 2, kRows = 9, kIn = 256, kOut = 48;
  const Tensor plain_input = noise(stream, kBatch * kRows, kIn, 23);
  const Tensor plain_weight = noise(DType::bf16, kOut, kIn, 24, 0.05f);
  const PackedWeight normal = scheme.pack(plain_weight, "w");
  // The largest values only beside small ones: their products must stay within a float.
  const Tensor small_input = noise(stream, kBatch * kRows, kIn, 25, 1e-4f);
  const PackedWeight small = scheme.pack(noise(DType::bf16, kOut, kIn, 26, 1e-4f), "w");
  // Some kernels multiply a sum by the weight's scale before the input's; there the largest weights
  // leave f32 on the way to a result that would not.
  const auto on = scheme.on(*kernels);
  const float largest = std::min(kLargestWeight, static_cast<float>(on->rounding().largest_weight));
  for (const auto& [name, weight] : difficult(DType::bf16, kOut, kIn, 27, largest)) {
    const PackedWeight packed = scheme.pack(weight, name);
    const Run run = {name == "largest" ? small_input : plain_input, kBatch, &packed};
    compare("weight: " + name, subject, run, multiply(subject, *kernels, run), {}, failures);
  }
  for (const auto& [name, x] : difficult(stream, kBatch * kRows, kIn, 28, kLargestInput)) {
    const Run run = {x, kBatch, name == "largest" ? &small : &normal};
    compare("input: " + name, subject, run, multiply(subject, *kernels, run), {}, failures);
  }

  const Tensor bias = noise(stream, 1, kOut, 31).reshaped({kOut});
  const Tensor gate = noise(stream, kBatch, kOut, 32).reshaped({kBatch, 1, kOut});
  const Tensor bias_there = kernels->upload(bias), gate_there = kernels->upload(gate);
  for (const int64_t rows : {kRows, int64_t{1}}) {
    const Tensor input = plain_input.slice(0, kBatch * rows);
    const Tensor residual = noise(stream, kBatch * rows, kOut, 33).reshaped({kBatch, rows, kOut});
    const Tensor residual_there = kernels->upload(residual);
    for (Act act :
         {Act::none, Act::gelu_tanh, Act::gelu_erf, Act::quick_gelu, Act::relu, Act::silu}) {
      for (int parts = 0; parts < 8; ++parts) {
        const bool has_bias = parts & 1, has_gate = parts & 2, has_residual = parts & 4;
        Run run = {input, kBatch, &normal};
        Ending ending;
        ending.act = run.epilogue.act = act;
        if (has_bias) run.epilogue.bias = bias_there, ending.bias = to_floats(bias);
        if (has_gate) run.epilogue.gate = gate_there, ending.gate = to_floats(gate);
        if (has_residual)
          run.epilogue.residual = residual_there, ending.residual = to_floats(residual);
        const FusedParts fused = on->fused(run.epilogue);
        if ((has_bias && !fused.bias) || (act != Act::none && !fused.act) ||
            (has_gate && !fused.gate) || (has_residual && !fused.residual))
          continue;
        compare(fmt::format("epilogue of {} rows: act {}{}{}{}", rows, static_cast<int>(act),
                            has_bias ? " bias" : "", has_gate ? " gate" : "",
                            has_residual ? " residual" : ""),
                subject, run, multiply(subject, *kernels, run), ending, failures);
      }
    }
  }
  return failures;
}

Failures splits_columns(const Subject& subject) {
  constexpr int64_t kRows = 5, kIn = 384, kOut = 32;
  const Scheme& scheme = subject.scheme;
  const auto kernels = subject.kernels(2);
  Failures failures;
  const PackedWeight weight = scheme.pack(noise(DType::bf16, kOut, kIn, 41), "w");
  for (const auto& [begin, count] :
       std::vector<std::pair<int64_t, int64_t>>{{0, 128}, {128, 256}, {256, 128}}) {
    const Run run = {noise(scheme.stream(), kRows, count, 42), 1, &weight, begin, count};
    compare(fmt::format("columns from {}, {} of them", begin, count), subject, run,
            multiply(subject, *kernels, run), {}, failures);
  }
  return failures;
}

Failures joins_outputs(const Subject& subject) {
  constexpr int64_t kBatch = 2, kRows = 12, kIn = 256;
  const std::vector<int64_t> outs = {16, 40, 24};
  const Scheme& scheme = subject.scheme;
  const auto kernels = subject.kernels(2);
  const auto on = scheme.on(*kernels);
  std::vector<PackedWeight> packed;
  std::vector<std::shared_ptr<DeviceWeight>> loaded;
  int64_t all = 0;
  for (const int64_t out : outs) {
    const auto seed = static_cast<uint64_t>(out);
    // Of different sizes, so that a scale of one would not do for another.
    packed.push_back(
        scheme.pack(noise(DType::bf16, out, kIn, seed, 0.01f * static_cast<float>(out)), "w"));
    loaded.push_back(on->load(packed.back(), 0, kIn));
    all += out;
  }
  const auto joined = on->join(loaded);
  if (!joined) return {};
  if (joined->out != all || joined->in != kIn)
    return {fmt::format("joined to [{}, {}]", joined->out, joined->in)};
  const Tensor host = noise(scheme.stream(), kBatch * kRows, kIn, 43);
  const Tensor x = on_device(*kernels, host, kBatch);
  const Tensor y = kernels->allocate(scheme.stream(), {kBatch, kRows, all});
  Arena::Scope scope(kernels->arena());
  const Prepared prepared = on->prepare(plain(x));
  on->matmul(prepared, *joined, {}, y);
  const std::vector<float> product = to_floats(kernels->download(y));
  Failures failures;
  int64_t begin = 0;
  for (size_t i = 0; i < outs.size(); ++i) {
    Result its = {on->dequantize(prepared), {}, on->rounding()};
    for (int64_t r = 0; r < kBatch * kRows; ++r) {
      const std::vector<float> columns = part(product, r * all + begin, outs[i]);
      its.output.insert(its.output.end(), columns.begin(), columns.end());
    }
    compare(fmt::format("part {} of joined weights", i), subject, {host, kBatch, &packed[i]}, its,
            {}, failures);
    begin += outs[i];
  }
  return failures;
}

Failures keeps_nan_in_its_place(const Subject& subject) {
  constexpr int64_t kBatch = 3, kRows = 4, kIn = 128, kOut = 16, kBad = 6;  // row 2 of sample 1
  const auto kernels = subject.kernels(2);
  Failures failures;
  const PackedWeight weight = subject.scheme.pack(noise(DType::bf16, kOut, kIn, 51), "w");
  Run run = {noise(subject.scheme.stream(), kBatch * kRows, kIn, 52), kBatch, &weight};
  const std::vector<float> clean = multiply(subject, *kernels, run).output;
  Tensor poisoned = converted(run.x, DType::f32);
  poisoned.data<float>()[kBad * kIn + 3] = NAN;
  run.x = converted(poisoned, subject.scheme.stream());
  const std::vector<float> got = multiply(subject, *kernels, run).output;
  for (int64_t r = 0; r < kBatch * kRows; ++r) {
    const std::vector<float> row = part(got, r * kOut, kOut);
    const bool all_nan = std::ranges::all_of(row, [](float v) { return std::isnan(v); });
    const bool untouched = same_bytes(row, part(clean, r * kOut, kOut));
    const bool same_sample = r / kRows == kBad / kRows;
    if (r == kBad ? !all_nan : !untouched && !(same_sample && all_nan))
      failures.push_back(fmt::format("a NaN in row {}: row {} is {}...", kBad, r, row[0]));
  }
  return failures;
}

Failures does_not_depend_on_threads(const Subject& subject) {
  constexpr int64_t kBatch = 2, kRows = 37, kIn = 256, kOut = 300;
  const PackedWeight weight = subject.scheme.pack(noise(DType::bf16, kOut, kIn, 61), "w");
  const Run run = {noise(subject.scheme.stream(), kBatch * kRows, kIn, 62), kBatch, &weight};
  const auto one = subject.kernels(1);
  const Result expected = multiply(subject, *one, run);
  Failures failures;
  for (int threads : {2, 5}) {
    const auto kernels = subject.kernels(threads);
    const Result got = multiply(subject, *kernels, run);
    if (!same_bytes(got.input, expected.input))
      failures.push_back(fmt::format("{} threads prepare other bytes than one", threads));
    if (!same_bytes(got.output, expected.output))
      failures.push_back(fmt::format("{} threads multiply to other bytes than one", threads));
  }
  return failures;
}

Failures does_not_depend_on_the_batch(const Subject& subject) {
  constexpr int64_t kBatch = 3, kIn = 256, kOut = 48;
  const PackedWeight weight = subject.scheme.pack(noise(DType::bf16, kOut, kIn, 71), "w");
  const auto kernels = subject.kernels(2);
  Failures failures;
  for (const int64_t rows : {21, 1}) {
    // Samples of different sizes, so that a shared scale would show.
    const Tensor x = matrix(
        subject.scheme.stream(), kBatch * rows, kIn, 72,
        [rows](float n, int64_t r, int64_t) { return n * static_cast<float>(1 + r / rows); });
    const Result all = multiply(subject, *kernels, {x, kBatch, &weight});
    for (int64_t b = 0; b < kBatch; ++b) {
      const Result alone =
          multiply(subject, *kernels, {x.slice(b * rows, (b + 1) * rows), 1, &weight});
      if (!same_bytes(alone.input, part(all.input, b * rows * kIn, rows * kIn)))
        failures.push_back(fmt::format("sample {} is prepared to other bytes alone", b));
      if (!same_bytes(alone.output, part(all.output, b * rows * kOut, rows * kOut)))
        failures.push_back(fmt::format("sample {} is multiplied to other bytes alone", b));
    }
  }
  return failures;
}

}  // namespace fluxq::conformance

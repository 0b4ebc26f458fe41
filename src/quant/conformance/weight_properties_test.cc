// The promises about stored weights.
#include <algorithm>
#include <cstring>

#include "quant/conformance/properties.h"

namespace fluxq::conformance {
namespace {

constexpr int64_t kOut = 9, kIn = 256;

// The first element that breaks |got - expected| <= bound; a NaN anywhere breaks it.
void compare(const std::string& what, const std::vector<float>& got,
             const std::vector<float>& expected, const std::vector<float>& bound,
             Failures& failures) {
  if (got.size() != expected.size() || bound.size() != expected.size()) {
    failures.push_back(fmt::format("{}: {} values and {} bounds for {}", what, got.size(),
                                   bound.size(), expected.size()));
    return;
  }
  for (size_t i = 0; i < got.size(); ++i) {
    const double error = std::abs(static_cast<double>(got[i]) - expected[i]);
    if (std::isfinite(bound[i]) && error <= bound[i]) continue;
    failures.push_back(fmt::format("{} at {}: got {}, expected {} within {}", what, i, got[i],
                                   expected[i], bound[i]));
    return;
  }
}

double mean_square(const std::vector<float>& values) {
  double sum = 0;
  for (float value : values) sum += static_cast<double>(value) * value;
  return sum / static_cast<double>(values.size());
}

// What `statement` throws: its code's name and message, or "nothing".
template <typename Statement>
std::string thrown_by(const Statement& statement) {
  try {
    statement();
  } catch (const Error& error) {
    return fmt::format("{}: {}", error_info(error.code()).name, error.what());
  } catch (const std::exception& error) {
    return fmt::format("another exception: {}", error.what());
  }
  return "nothing";
}

void expect_error(const std::string& what, const std::string& thrown, std::string_view code,
                  std::string_view part, Failures& failures) {
  if (thrown.starts_with(code) && thrown.find(part) != std::string::npos) return;
  failures.push_back(fmt::format("{}: expected {} with \"{}\", got {}", what, code, part, thrown));
}

Tensor copy(const Tensor& tensor) {
  Tensor result = Tensor::on_host(tensor.dtype(), tensor.shape());
  std::copy_n(static_cast<const std::byte*>(tensor.raw()), tensor.bytes(),
              static_cast<std::byte*>(result.raw()));
  return result;
}

void set_float(const Tensor& tensor, int64_t index, float value) {
  if (tensor.dtype() == DType::f32)
    tensor.data<float>()[index] = value;
  else
    tensor.data<bf16>()[index] = bf16(value);
}

}  // namespace

Failures packs_within_bound(const Subject& subject) {
  const Scheme& scheme = subject.scheme;
  Failures failures;
  for (DType dtype : {DType::bf16, DType::f32}) {
    for (const auto& [name, weight] : difficult(dtype, kOut, kIn, 1, kLargestWeight)) {
      const std::vector<float> bound = scheme.pack_bound(weight);
      compare(name, scheme.unpack(scheme.pack(weight, name)), to_floats(weight), bound, failures);
      if (name == "normal" && !(mean_square(bound) < mean_square(to_floats(weight))))
        failures.push_back("pack_bound allows as much error as there is weight");
    }
  }
  const uint16_t halves[] = {0x3c00, 0xb555, 0x0001, 0x7bff};  // f16: 1, -1/3, 2^-24, 65504
  Tensor half = Tensor::on_host(DType::f16, {kOut, kIn});
  for (int64_t i = 0; i < half.elements(); ++i)
    static_cast<uint16_t*>(half.raw())[i] = halves[i % 4];
  compare("f16", scheme.unpack(scheme.pack(half, "f16")), to_floats(half), scheme.pack_bound(half),
          failures);
  return failures;
}

Failures declares_its_parts(const Subject& subject) {
  constexpr int64_t kLarge = 1024;
  const Scheme& scheme = subject.scheme;
  Failures failures;
  const PackedWeight packed = scheme.pack(noise(DType::bf16, kLarge, kLarge, 2), "w");
  const std::vector<PartSpec> specs = scheme.layout(kLarge, kLarge);
  if (packed.out != kLarge || packed.in != kLarge || packed.parts.size() != specs.size())
    return {fmt::format("[{}, {}] in {} parts, {} declared", packed.out, packed.in,
                        packed.parts.size(), specs.size())};
  int64_t bytes = 0;
  for (size_t i = 0; i < specs.size(); ++i) {
    bytes += element_count(specs[i].shape) * dtype_bytes(specs[i].dtype);
    if (packed.parts[i].dtype() != specs[i].dtype || packed.parts[i].shape() != specs[i].shape)
      failures.push_back(fmt::format("{} is {} {}, not as declared", specs[i].name,
                                     dtype_name(packed.parts[i].dtype()),
                                     to_string(packed.parts[i].shape())));
  }
  if (packed.bytes() != bytes)
    failures.push_back(fmt::format("{} bytes, {} declared", packed.bytes(), bytes));
  const double bits = 8.0 * static_cast<double>(bytes) / (kLarge * kLarge);
  const double declared = scheme.info().bits_per_weight;
  if (!(std::abs(bits - declared) <= 0.01 * declared))
    failures.push_back(fmt::format("{} bits per weight, {} declared", bits, declared));
  return failures;
}

Failures refuses_weights_without_a_number(const Subject& subject) {
  const Scheme& scheme = subject.scheme;
  Failures failures;
  for (DType dtype : {DType::bf16, DType::f32}) {
    for (float bad : {NAN, INFINITY, -INFINITY}) {
      const Tensor weight = noise(dtype, kOut, kIn, 3);
      set_float(weight, 2 * kIn + 5, bad);
      const std::string thrown = thrown_by([&] { scheme.pack(weight, "blocks.7.proj"); });
      const std::string what = fmt::format("a {} of {}", dtype_name(dtype), bad);
      expect_error(what, thrown, "numeric", "blocks.7.proj", failures);
      expect_error(what, thrown, "numeric", "[2, 5]", failures);
    }
  }
  return failures;
}

Failures refuses_corrupt_parts(const Subject& subject) {
  const Scheme& scheme = subject.scheme;
  Failures failures;
  const PackedWeight good = scheme.pack(noise(DType::bf16, kOut, kIn, 4), "w");
  const std::string accepted = thrown_by([&] { scheme.check(good, "blocks.7.proj"); });
  if (accepted != "nothing") failures.push_back("a good weight: " + accepted);

  const auto refuse = [&](const std::string& what, const PackedWeight& bad) {
    const std::string thrown = thrown_by([&] { scheme.check(bad, "blocks.7.proj"); });
    expect_error(what, thrown, "corrupt_file", "blocks.7.proj", failures);
  };
  PackedWeight bad = good;
  bad.parts.pop_back();
  refuse("too few parts", bad);
  const std::vector<PartSpec> specs = scheme.layout(kOut, kIn);
  for (size_t i = 0; i < specs.size(); ++i) {
    const PartSpec& spec = specs[i];
    const auto with_part = [&](const Tensor& part) {
      PackedWeight changed = good;
      changed.parts[i] = part;
      return changed;
    };
    refuse(spec.name + " absent", with_part({}));
    refuse(spec.name + " of another dtype", with_part(Tensor::on_host(DType::i64, spec.shape)));
    Shape longer = spec.shape;
    longer[0] += 1;
    refuse(spec.name + " too long", with_part(Tensor::on_host(spec.dtype, longer)));
    refuse(spec.name + " flat",
           with_part(copy(good.parts[i]).reshaped({element_count(spec.shape)})));
    if (spec.dtype != DType::f32 && spec.dtype != DType::bf16) continue;
    std::vector<float> values = {NAN, INFINITY};
    if (spec.name == "scale") values.insert(values.end(), {0.0f, -1.0f});
    for (float value : values) {
      const Tensor part = copy(good.parts[i]);
      set_float(part, part.elements() - 1, value);
      refuse(fmt::format("{} with a {}", spec.name, value), with_part(part));
    }
  }
  return failures;
}

Failures packs_alike_on_the_device(const Subject& subject) {
  const Scheme& scheme = subject.scheme;
  const auto kernels = subject.kernels(2);
  const auto on = scheme.on(*kernels);
  Failures failures;
  for (const auto& [name, weight] : difficult(scheme.stream(), kOut, kIn, 6, kLargestWeight)) {
    const std::optional<PackedWeight> there = on->pack(kernels->upload(weight), name);
    if (!there) return {};
    const PackedWeight here = scheme.pack(weight, name);
    if (there->out != here.out || there->in != here.in || there->parts.size() != here.parts.size())
      return {fmt::format("{}: [{}, {}] in {} parts", name, there->out, there->in,
                          there->parts.size())};
    for (size_t i = 0; i < here.parts.size(); ++i) {
      const Tensor part = kernels->download(there->parts[i]);
      if (part.dtype() != here.parts[i].dtype() || part.shape() != here.parts[i].shape() ||
          std::memcmp(part.raw(), here.parts[i].raw(), static_cast<size_t>(part.bytes())) != 0)
        failures.push_back(fmt::format("{}: part {} is not the host's", name, i));
    }
  }
  const Tensor weight = noise(scheme.stream(), kOut, kIn, 7);
  set_float(weight, 2 * kIn + 5, NAN);
  const Tensor there = kernels->upload(weight);
  const std::string thrown = thrown_by([&] { on->pack(there, "blocks.7.proj"); });
  expect_error("a NaN", thrown, "numeric", "blocks.7.proj", failures);
  expect_error("a NaN", thrown, "numeric", "[2, 5]", failures);
  return failures;
}

Failures takes_or_refuses_shapes(const Subject& subject) {
  const Scheme& scheme = subject.scheme;
  Failures failures;
  for (const auto& [out, in] : std::vector<std::pair<int64_t, int64_t>>{
           {1, 1}, {1, 128}, {3, 100}, {5, 7}, {129, 128}, {7, 384}, {2, 132}}) {
    const Tensor weight = noise(DType::bf16, out, in, 5);
    const std::string shape = fmt::format("[{}, {}]", out, in);
    if (const auto reason = scheme.refuses(out, in)) {
      expect_error(shape, thrown_by([&] { scheme.pack(weight, "blocks.7.proj"); }), "unsupported",
                   *reason, failures);
      expect_error(shape, thrown_by([&] {
                     scheme.check({out, in, {}}, "blocks.7.proj");
                   }),
                   "corrupt_file", *reason, failures);
      continue;
    }
    const std::string thrown = thrown_by([&] {
      const PackedWeight packed = scheme.pack(weight, "w");
      scheme.check(packed, "w");
      compare(shape, scheme.unpack(packed), to_floats(weight), scheme.pack_bound(weight), failures);
    });
    if (thrown != "nothing") failures.push_back(shape + ": " + thrown);
  }
  return failures;
}

}  // namespace fluxq::conformance

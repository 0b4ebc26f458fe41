#include "quant/scheme.h"

#include <cmath>

#include "quant/torchao_format.h"

namespace fluxq {
namespace {

std::vector<std::string> scheme_names(std::span<const Scheme* const> schemes) {
  std::vector<std::string> names;
  for (const Scheme* scheme : schemes) names.push_back(scheme->info().name);
  return names;
}

bool is_float(DType dtype) {
  return dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::f16;
}

// Values that no pack() writes: NaN and Inf anywhere, a scale that is zero or negative.
void check_values(const PartSpec& spec, const Tensor& part, std::string_view name) {
  if (is_float(spec.dtype)) {
    const std::vector<float> values = to_floats(part);
    const bool scale = spec.name == "scale";
    for (size_t i = 0; i < values.size(); ++i) {
      if (!std::isfinite(values[i]) || (scale && !(values[i] > 0))) {
        fail(ErrorCode::corrupt_file, "weight {}, its {} at {}: expected a finite{} number, got {}",
             name, spec.name, i, scale ? " positive" : "", values[i]);
      }
    }
  } else if (spec.dtype == DType::f8_e4m3) {
    const auto* codes = static_cast<const uint8_t*>(part.raw());
    for (int64_t i = 0; i < part.elements(); ++i) {
      if ((codes[i] & 0x7f) == 0x7f)
        fail(ErrorCode::corrupt_file, "weight {}, its {} at {}: expected a number, got NaN", name,
             spec.name, i);
    }
  }
}

}  // namespace

int64_t PackedWeight::bytes() const {
  int64_t sum = 0;
  for (const Tensor& part : parts) sum += part.bytes();
  return sum;
}

void Scheme::check(const PackedWeight& weight, std::string_view name) const {
  if (const auto reason = refuses(weight.out, weight.in))
    fail(ErrorCode::corrupt_file, "weight {} [{}, {}] as {}: {}", name, weight.out, weight.in,
         info().name, *reason);
  const std::vector<PartSpec> specs = layout(weight.out, weight.in);
  if (weight.parts.size() != specs.size()) {
    fail(ErrorCode::corrupt_file, "weight {} as {}: expected {} parts, got {}", name, info().name,
         specs.size(), weight.parts.size());
  }
  for (size_t i = 0; i < specs.size(); ++i) {
    const PartSpec& spec = specs[i];
    const Tensor& part = weight.parts[i];
    if (part.empty())
      fail(ErrorCode::corrupt_file, "weight {} as {}: its {} is absent", name, info().name,
           spec.name);
    if (part.dtype() != spec.dtype || part.shape() != spec.shape) {
      fail(ErrorCode::corrupt_file, "weight {} as {}, its {}: expected {} {}, got {} {}", name,
           info().name, spec.name, dtype_name(spec.dtype), to_string(spec.shape),
           dtype_name(part.dtype()), to_string(part.shape()));
    }
  }
  for (size_t i = 0; i < specs.size(); ++i) check_values(specs[i], weight.parts[i], name);
}

std::vector<float> Scheme::input_bound(const Tensor& x) const {
  return std::vector<float>(static_cast<size_t>(x.elements()), 0.0f);
}

StoredForm Scheme::stored_form(int64_t out, int64_t in) const {
  return {.type = "FluxqWeight",
          .data = {{"scheme", info().name}, {"shape", Json::array({out, in})}},
          .config = nullptr};
}

const Scheme& find_scheme(std::string_view name) {
  for (const Scheme* scheme : all_schemes()) {
    if (scheme->info().name == name) return *scheme;
  }
  const std::vector<std::string> names = scheme_names(all_schemes());
  fail(ErrorCode::bad_argument, "scheme \"{}\": expected one of {}.{}", name,
       fmt::join(names, ", "), did_you_mean(name, names));
}

std::unique_ptr<SchemeKernels> on_device(const Scheme& scheme, Kernels& kernels, MakeKernels cpu,
                                         MakeKernels cuda) {
  const MakeKernels make = kernels.device() == Device::cuda ? cuda : cpu;
  if (!make) fail_no_kernels(scheme, kernels.device());
  return make(kernels);
}

void fail_no_kernels(const Scheme& scheme, Device device) {
  std::vector<const Scheme*> able;
  for (const Scheme* other : all_schemes()) {
    if (other->runs_on(device)) able.push_back(other);
  }
  fail(ErrorCode::unsupported, "scheme {} has no kernel for {}; schemes that have: {}",
       scheme.info().name, device_name(device), fmt::join(scheme_names(able), ", "));
}

}  // namespace fluxq

/// For tests of schemes: golden tensors, and weights and inputs that are hard to quantize.
#pragma once

#include <map>
#include <string>

#include "base/file.h"
#include "base/json.h"
#include "base/test_support.h"
#include "kernels/testing.h"
#include "quant/scheme.h"

namespace fluxq::testing {

/// The tensors of a safetensors file of ours (tests/golden): no checks, the file is trusted.
inline std::map<std::string, Tensor> read_golden(const std::string& name) {
  const std::string bytes =
      read_text_file(std::string(FLUXQ_SOURCE_DIR "/tests/golden/quant/") + name, 1 << 24);
  uint64_t header_bytes;
  std::memcpy(&header_bytes, bytes.data(), 8);
  const Json header = parse_json(std::string_view(bytes).substr(8, header_bytes), name);
  std::map<std::string, Tensor> tensors;
  for (const auto& [key, entry] : header.items()) {
    if (key == "__metadata__") continue;
    const auto dtype = parse_dtype(require_string(entry, "dtype", name));
    Tensor tensor = Tensor::on_host(dtype.value(), entry["shape"].get<Shape>());
    const auto begin = entry["data_offsets"][0].get<uint64_t>();
    std::memcpy(tensor.raw(), bytes.data() + 8 + header_bytes + begin,
                static_cast<size_t>(tensor.bytes()));
    tensors[key] = tensor;
  }
  return tensors;
}

/// prepare() of a tensor that holds the input itself.
inline Producer plain(const Tensor& x) {
  Producer producer;
  producer.x = x;
  return producer;
}

}  // namespace fluxq::testing

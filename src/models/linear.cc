#include "models/linear.h"

#include <algorithm>
#include <optional>

namespace fluxq {
namespace {

// The parts of an epilogue that one pass does: a kernel's fused ones, then the rest of them.
// They apply in a fixed order, so a kernel gets the longest run of parts from the front that it can
// fuse.
struct Split {
  Epilogue fused, rest;
  bool has_rest = false;
};

Split split_epilogue(const Epilogue& wanted, const FusedParts& can) {
  Split split;
  const auto goes_to_rest = [&split](bool is_wanted, bool is_fused) {
    if (is_wanted && !is_fused) split.has_rest = true;
    return split.has_rest;
  };
  (goes_to_rest(!wanted.bias.empty(), can.bias) ? split.rest : split.fused).bias = wanted.bias;
  (goes_to_rest(wanted.act != Act::none, can.act) ? split.rest : split.fused).act = wanted.act;
  (goes_to_rest(!wanted.gate.empty(), can.gate) ? split.rest : split.fused).gate = wanted.gate;
  (goes_to_rest(!wanted.residual.empty(), can.residual) ? split.rest : split.fused).residual =
      wanted.residual;
  return split;
}

void multiply(Kernels& kernels, SchemeKernels& scheme, const Prepared& input,
              const DeviceWeight& weight, const Epilogue& epilogue, const Rows& out) {
  const Split split = split_epilogue(epilogue, scheme.fused());
  if (!split.has_rest) {
    scheme.matmul(input, weight, split.fused, out);
    return;
  }
  Arena::Scope scope(kernels.arena());
  const Tensor product = kernels.arena().take(out.dtype, {out.batch, out.rows, out.cols});
  scheme.matmul(input, weight, split.fused, product);
  kernels.apply(split.rest, product, out);
}

}  // namespace

void Linears::run(Kernels& kernels, const Producer& input, std::span<const Target> targets) const {
  if (targets.size() != parts_.size())
    fail(ErrorCode::internal, "linears: expected {} targets, got {}", parts_.size(),
         targets.size());
  Arena::Scope scope(kernels.arena());
  struct Ready {
    SchemeKernels* scheme;
    const void* input_scale;
    Prepared prepared;
  };
  std::vector<Ready> ready;
  for (size_t i = 0; i < parts_.size(); ++i) {
    const Linear& part = parts_[i];
    const Rows& out = targets[i].out;
    if (part.empty() || input.x.cols != part.in() || out.cols != part.out() ||
        out.rows != input.x.rows || out.batch != input.x.batch) {
      fail(ErrorCode::internal, "linear {} -> {}: got input [{}, {}, {}] and output [{}, {}, {}]",
           part.empty() ? 0 : part.in(), part.empty() ? 0 : part.out(), input.x.batch, input.x.rows,
           input.x.cols, out.batch, out.rows, out.cols);
    }
    const void* input_scale = part.input_scale_.raw();
    auto found = std::ranges::find_if(ready, [&](const Ready& candidate) {
      return candidate.scheme == part.scheme_.get() && candidate.input_scale == input_scale;
    });
    if (found == ready.end()) {
      Producer scaled = input;
      scaled.input_scale = part.input_scale_;
      ready.push_back({part.scheme_.get(), input_scale, part.scheme_->prepare(scaled)});
      found = ready.end() - 1;
    }
    Epilogue epilogue = targets[i].epilogue;
    epilogue.bias = part.bias_;
    multiply(kernels, *part.scheme_, found->prepared, *part.weight_, epilogue, out);
  }
}

}  // namespace fluxq

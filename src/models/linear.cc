#include "models/linear.h"

#include <algorithm>
#include <optional>

namespace fluxq {
namespace {

// The parts of an epilogue that one pass does: a kernel's fused ones, then the rest of them.
// They apply in a fixed order, so a kernel gets the longest run of parts from the front that it can
// fuse. Heads are for a kernel that does all; else they are left to joint_attention().
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
  if (!split.has_rest && can.heads) split.fused.heads = wanted.heads;
  return split;
}

void multiply(Kernels& kernels, SchemeKernels& scheme, const Prepared& input,
              const DeviceWeight& weight, const Epilogue& epilogue, const Rows& out) {
  const Split split = split_epilogue(epilogue, scheme.fused(epilogue));
  if (!split.has_rest) {
    scheme.matmul(input, weight, split.fused, out);
    return;
  }
  Arena::Scope scope(kernels.arena());
  const Tensor product = kernels.arena().take(out.dtype, {out.batch, out.rows, out.cols});
  scheme.matmul(input, weight, split.fused, product);
  kernels.apply(split.rest, product, out);
}

// The columns of the epilogue's operands that belong to output columns [begin, begin + count) of
// `all`.
Epilogue columns_of(Epilogue epilogue, int64_t begin, int64_t count, int64_t all) {
  if (!epilogue.gate.empty()) epilogue.gate = epilogue.gate.columns(begin, count);
  if (!epilogue.residual.empty()) epilogue.residual = epilogue.residual.columns(begin, count);
  if (count < all) epilogue.heads = {};
  return epilogue;
}

}  // namespace

int64_t Linear::out() const {
  int64_t out = 0;
  for (const Piece& piece : pieces_) out += piece.weight->out;
  return out;
}

Linear Linear::side_by_side(Kernels& kernels, std::vector<Linear> layers) {
  return side_by_side(kernels, std::move(layers), 0);
}

Linear Linear::qkv(Kernels& kernels, std::vector<Linear> layers, int64_t heads) {
  return side_by_side(kernels, std::move(layers), heads);
}

Linear Linear::side_by_side(Kernels& kernels, std::vector<Linear> layers, int64_t heads) {
  Linear all;
  for (Linear& layer : layers) {
    if (!layer.empty() && !all.empty() && layer.in() != all.in())
      fail(ErrorCode::internal, "layers side by side: expected inputs of {}, got {}", all.in(),
           layer.in());
    std::ranges::move(layer.pieces_, std::back_inserter(all.pieces_));
  }
  if (all.pieces_.size() < 2) return all;
  Linear one = joined(kernels, all.pieces_, heads);
  return one.empty() ? all : one;
}

Linear Linear::joined(Kernels& kernels, const std::vector<Piece>& pieces, int64_t heads) {
  const Piece& first = pieces.front();
  std::vector<std::shared_ptr<DeviceWeight>> weights;
  int64_t out = 0;
  for (const Piece& piece : pieces) {
    if (piece.scheme != first.scheme || piece.bias.empty() != first.bias.empty() ||
        piece.input_scale.raw() != first.input_scale.raw())
      return {};
    weights.push_back(piece.weight);
    out += piece.weight->out;
  }
  std::shared_ptr<DeviceWeight> weight =
      heads == 0 ? first.scheme->join(weights) : first.scheme->join_heads(weights, heads);
  if (!weight) return {};
  Tensor bias;
  if (!first.bias.empty()) {
    bias = kernels.allocate(first.bias.dtype(), {1, out});
    int64_t begin = 0;
    for (const Piece& piece : pieces) {
      const int64_t count = piece.weight->out;
      kernels.produce({.x = piece.bias.reshaped({1, count})}, Rows(bias).columns(begin, count));
      begin += count;
    }
    bias = bias.reshaped({out});
  }
  return {first.scheme, std::move(weight), std::move(bias), first.input_scale};
}

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
  const auto prepared = [&](const Linear::Piece& piece) -> const Prepared& {
    const void* input_scale = piece.input_scale.raw();
    const auto found = std::ranges::find_if(ready, [&](const Ready& candidate) {
      return candidate.scheme == piece.scheme.get() && candidate.input_scale == input_scale;
    });
    if (found != ready.end()) return found->prepared;
    Producer scaled = input;
    scaled.input_scale = piece.input_scale;
    ready.push_back({piece.scheme.get(), input_scale, piece.scheme->prepare(scaled)});
    return ready.back().prepared;
  };
  for (size_t i = 0; i < parts_.size(); ++i) {
    const Linear& part = parts_[i];
    const Rows& out = targets[i].out;
    if (part.empty() || input.x.cols != part.in() || out.cols != part.out() ||
        out.rows != input.x.rows || out.batch != input.x.batch) {
      fail(ErrorCode::internal, "linear {} -> {}: got input [{}, {}, {}] and output [{}, {}, {}]",
           part.in(), part.out(), input.x.batch, input.x.rows, input.x.cols, out.batch, out.rows,
           out.cols);
    }
    int64_t begin = 0;
    for (const Linear::Piece& piece : part.pieces_) {
      const int64_t count = piece.weight->out;
      Epilogue epilogue = columns_of(targets[i].epilogue, begin, count, out.cols);
      epilogue.bias = piece.bias;
      multiply(kernels, *piece.scheme, prepared(piece), *piece.weight, epilogue,
               out.columns(begin, count));
      begin += count;
    }
  }
}

}  // namespace fluxq

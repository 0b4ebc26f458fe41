// CudaQkvScheme: the weight that gives q, k and v together, and its products, with QK-norm and rope
// in their endings.
#include <algorithm>

#include "kernels/cuda/attention_int8.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/gemm_qkv.h"
#include "kernels/operands.h"
#include "quant/formats/cuda_arrange_qkv.h"
#include "quant/formats/cuda_gemm_scheme.h"

namespace fluxq {
namespace {

using cuda::Int8Codes;
using cuda::kQkvDim;
using cuda::kQkvTileRows;
using cuda::QkvProduct;

constexpr int64_t kVectorBytes = 16;  // alignment of all rows

// A product writes whole tiles of codes, or the last one in part.
static_assert(kQkvTileRows == cuda::kInt8Tile && kQkvDim == cuda::kInt8Dim);

auto kernel_for(DType dtype) {
  return dtype == DType::i8 ? cuda::gemm_qkv_s8 : cuda::gemm_qkv_e4m3;
}

const CodesWeight& codes_of(const std::shared_ptr<DeviceWeight>& weight) {
  return static_cast<const CodesWeight&>(*weight);
}

// Whether the kernels take these weights.
bool takes(std::span<const std::shared_ptr<DeviceWeight>> weights, int64_t heads) {
  return weights.size() == 3 && std::ranges::all_of(weights, [heads](const auto& weight) {
           return weight->out == heads * kQkvDim && weight->in % kVectorBytes == 0 &&
                  codes_of(weight).codes.aligned_to(kVectorBytes);
         });
}

// q and k, normed and rotated, and v of epilogue.heads: into the columns of `out` or into the
// attention's codes, as far as it has any. x has one scale per row or one per matrix.
void multiply_qkv(CudaKernels& kernels, const Prepared& input, const CodesWeight& weight,
                  const Epilogue& epilogue, const Rows& out) {
  const Rows& x = input.codes;
  JointAttention* const attention = epilogue.heads.attention;
  if (attention == nullptr || epilogue.heads.stream >= attention->streams.size())
    fail(ErrorCode::internal, "a product with a weight of q, k and v: expected what they are for");
  JointAttention::Stream& stream = attention->streams[epilogue.heads.stream];
  const int64_t width = weight.heads * kQkvDim;
  if (attention->heads != weight.heads || x.cols != weight.in || out.cols != 3 * width ||
      out.rows != stream.count || out.batch != x.batch || out.dtype != DType::bf16 ||
      x.dtype != weight.codes.dtype || epilogue.act != Act::none || !epilogue.gate.empty() ||
      !epilogue.residual.empty() || !x.aligned_to(kVectorBytes) || !out.aligned_to(kVectorBytes)) {
    fail(ErrorCode::internal,
         "q, k and v of {} heads and {} rows: expected operands of these sizes, aligned to 16 "
         "bytes, and only a bias to add, got an input [{}, {}, {}] and an output [{}, {}, {}]",
         weight.heads, stream.count, x.batch, x.rows, x.cols, out.batch, out.rows, out.cols);
  }
  const Tensor rope = attention->rope.slice(stream.first, stream.first + stream.count);
  check_tensor("q, k and v: rope", rope, DType::f32, {stream.count, kQkvDim / 2, 2});
  check_tensor("q, k and v: q_weight", stream.q_weight, DType::bf16, {kQkvDim});
  check_tensor("q, k and v: k_weight", stream.k_weight, DType::bf16, {kQkvDim});
  stream.normed = true;
  if (x.batch * x.rows == 0) return;

  const bool per_row = input.scale.elements() == x.batch * x.rows;
  QkvProduct product = {.depth = static_cast<int>(x.cols),
                        .heads = static_cast<int>(weight.heads),
                        .x_stride = x.row_stride,
                        .w = weight.codes.data,
                        .w_stride = weight.codes.row_stride,
                        .x_scale_stride = per_row ? 1 : 0,
                        .w_scale = weight.scale.data<float>(),
                        .bias = epilogue.bias.raw(),
                        .rows_of_picture = static_cast<int>(x.rows),
                        .q_weight = stream.q_weight.raw(),
                        .k_weight = stream.k_weight.raw(),
                        .rope = rope.data<float>(),
                        .eps = attention->eps,
                        .out_stride = out.row_stride,
                        .multiprocessors = kernels.multiprocessors(),
                        .stream = kernels.stream()};
  const auto* codes = dynamic_cast<const Int8Codes*>(attention->codes.get());
  if (codes != nullptr) {
    product.q_factor = cuda::q_scale_factor(*attention);
    product.tiles = static_cast<int>(codes->q.dim(2));
    product.first_tile = static_cast<int>(stream.first / kQkvTileRows);
  }
  // One product for all pictures where nothing differs from one to the next.
  const bool at_once =
      x.is_one_matrix() && out.is_one_matrix() && x.rows % kQkvTileRows == 0 && per_row;
  const int64_t pictures = at_once ? 1 : x.batch;
  product.m = static_cast<int>(x.batch / pictures * x.rows);
  for (int64_t b = 0; b < pictures; ++b) {
    product.x = x.at(b, 0);
    product.x_scale = input.scale.data<float>() + b * (per_row ? x.rows : 1);
    product.q = out.at(b, 0);
    product.k = out.columns(width, width).at(b, 0);
    product.v = out.columns(2 * width, width).at(b, 0);
    if (codes != nullptr) {
      const int64_t tile = b * weight.heads * product.tiles, row = tile * kQkvTileRows;
      product.q_codes = codes->q.data<int8_t>() + row * kQkvDim;
      product.k_codes = codes->k.data<int8_t>() + row * kQkvDim;
      if (!codes->v.empty())
        product.v_codes = static_cast<uint8_t*>(codes->v.raw()) + row * kQkvDim;
      product.q_scale = codes->q_scale.data<float>() + row;
      product.k_scale = codes->k_scale.data<float>() + tile;
    }
    if (const char* problem = kernel_for(x.dtype)(product)) {
      cuda::check_device("a product of q, k and v");
      fail(ErrorCode::internal, "q, k and v of {} heads from [{}, {}]: CUTLASS says {}",
           weight.heads, product.m, product.depth, problem);
    }
    cuda::check_launch("a product of q, k and v");
  }
}

}  // namespace

std::shared_ptr<DeviceWeight> CudaQkvScheme::join_heads(
    std::span<const std::shared_ptr<DeviceWeight>> weights, int64_t heads) {
  if (!takes(weights, heads)) return join(weights);
  std::shared_ptr<CodesWeight> arranged = join_scales(weights);
  arranged->heads = heads;
  cuda::arrange_qkv(kernels_, codes_of(weights[0]).codes, codes_of(weights[1]).codes,
                    codes_of(weights[2]).codes, heads, arranged->codes);
  return arranged;
}

void CudaQkvScheme::matmul(const Prepared& input, const DeviceWeight& weight,
                           const Epilogue& epilogue, const Rows& out) {
  const auto& codes = static_cast<const CodesWeight&>(weight);
  if (codes.heads != 0)
    multiply_qkv(kernels_, input, codes, epilogue, out);
  else
    multiply(input, codes, epilogue, out);
}

}  // namespace fluxq

#include "kernels/operands.h"

namespace fluxq {
namespace {

bool is_stream(DType dtype) { return dtype == DType::f32 || dtype == DType::bf16; }

void need_stream(std::string_view what, DType dtype) {
  if (!is_stream(dtype))
    fail(ErrorCode::internal, "{}: expected F32 or BF16, got {}", what, dtype_name(dtype));
}

void need_dtype(std::string_view what, DType got, DType expected) {
  if (got != expected)
    fail(ErrorCode::internal, "{}: expected {}, got {}", what, dtype_name(expected),
         dtype_name(got));
}

void need_shape(std::string_view what, const Shape& got, const Shape& expected) {
  if (got != expected)
    fail(ErrorCode::internal, "{}: expected shape {}, got {}", what, to_string(expected),
         to_string(got));
}

Shape shape_of(const Rows& rows) { return {rows.batch, rows.rows, rows.cols}; }

/// An operand that may be left out.
void need_if_given(std::string_view what, const Rows& rows, DType dtype, const Shape& shape) {
  if (rows.empty()) return;
  need_dtype(what, rows.dtype, dtype);
  need_shape(what, shape_of(rows), shape);
}

void need_if_given(std::string_view what, const Tensor& tensor, DType dtype, const Shape& shape) {
  if (tensor.empty()) return;
  need_dtype(what, tensor.dtype(), dtype);
  need_shape(what, tensor.shape(), shape);
}

void need(std::string_view what, const Rows& rows, DType dtype, const Shape& shape) {
  need_dtype(what, rows.dtype, dtype);
  need_shape(what, shape_of(rows), shape);
}

void need(std::string_view what, const Tensor& tensor, DType dtype, const Shape& shape) {
  need_dtype(what, tensor.dtype(), dtype);
  need_shape(what, tensor.shape(), shape);
}

void need_rank(std::string_view what, const Tensor& tensor, size_t rank) {
  if (tensor.rank() != rank)
    fail(ErrorCode::internal, "{}: expected {} dimensions, got shape {}", what, rank,
         to_string(tensor.shape()));
}

}  // namespace

void check_tensor(std::string_view what, const Tensor& tensor, DType dtype, const Shape& shape) {
  need(what, tensor, dtype, shape);
}

void check_produce(const Producer& producer, const Rows& out) {
  const Rows& x = producer.x;
  need_stream("produce: x", x.dtype);
  need_stream("produce: out", out.dtype);
  need_shape("produce: out", shape_of(out), shape_of(x));
  need_if_given("produce: factor", producer.factor, x.dtype, shape_of(x));
  need_if_given("produce: shift", producer.shift, x.dtype, {x.batch, 1, x.cols});
  need_if_given("produce: scale", producer.scale, x.dtype, {x.batch, 1, x.cols});
  need_if_given("produce: weight", producer.weight, x.dtype, {x.cols});
  need_if_given("produce: bias", producer.bias, x.dtype, {x.cols});
  need_if_given("produce: input_scale", producer.input_scale, DType::f32, {x.cols});
}

void check_apply(const Epilogue& epilogue, const Rows& acc, const Rows& out) {
  need_stream("apply: out", out.dtype);
  if (acc.dtype != DType::f32) need_dtype("apply: acc", acc.dtype, out.dtype);
  need_shape("apply: acc", shape_of(acc), shape_of(out));
  need_if_given("apply: bias", epilogue.bias, out.dtype, {out.cols});
  need_if_given("apply: gate", epilogue.gate, out.dtype, {out.batch, 1, out.cols});
  need_if_given("apply: residual", epilogue.residual, out.dtype, shape_of(out));
}

void check_embed(const Tensor& ids, const Tensor& table, const Tensor& positions, const Rows& out) {
  need("embed: ids", ids, DType::i32, {out.batch, out.rows});
  need_stream("embed: table", table.dtype());
  need_rank("embed: table", table, 2);
  need_shape("embed: table", table.shape(), {table.dim(0), out.cols});
  need_stream("embed: out", out.dtype);
  if (positions.empty()) return;
  need_rank("embed: positions", positions, 2);
  need_dtype("embed: positions", positions.dtype(), table.dtype());
  need_shape("embed: positions", positions.shape(),
             {std::max(positions.dim(0), out.rows), out.cols});
}

void check_qk_norm_rope(const Rows& q, const Rows& k, const Tensor& q_weight,
                        const Tensor& k_weight, const Tensor& rope) {
  need_stream("qk_norm_rope: q", q.dtype);
  need("qk_norm_rope: k", k, q.dtype, shape_of(q));
  need_rank("qk_norm_rope: q_weight", q_weight, 1);
  const int64_t dim = q_weight.dim(0);
  need("qk_norm_rope: q_weight", q_weight, q.dtype, {dim});
  need("qk_norm_rope: k_weight", k_weight, q.dtype, {dim});
  need("qk_norm_rope: rope", rope, DType::f32, {q.rows, dim / 2, 2});
  if (dim == 0 || dim % 2 != 0 || q.cols % dim != 0)
    fail(ErrorCode::internal, "qk_norm_rope: expected q of heads * {} columns, got {}", dim,
         q.cols);
}

void check_attention(const Attention& args) {
  const Rows &q = args.q, &k = args.k;
  need_stream("attention: q", q.dtype);
  need("attention: k", k, q.dtype, {q.batch, k.rows, q.cols});
  need("attention: v", args.v, q.dtype, shape_of(k));
  need("attention: out", args.out, q.dtype, shape_of(q));
  need_if_given("attention: bias", args.bias, DType::f32, {args.heads, q.rows, k.rows});
  if (args.heads < 1 || q.cols % args.heads != 0)
    fail(ErrorCode::internal, "attention: expected columns in {} heads, got {}", args.heads,
         q.cols);
  if (k.rows < 1) fail(ErrorCode::internal, "attention: expected at least one key, got none");
}

void check_euler_step(const Rows& velocity, const Rows& latents) {
  need_stream("euler_step: velocity", velocity.dtype);
  need_stream("euler_step: latents", latents.dtype);
  need_shape("euler_step: velocity", shape_of(velocity), shape_of(latents));
}

void check_load_conv(const Tensor& weight, const Tensor& bias, DType stream, bool upsample) {
  need_stream("load_conv: stream", stream);
  need_rank("load_conv: weight", weight, 4);
  const int64_t kernel = weight.dim(2);
  need_shape("load_conv: weight", weight.shape(), {weight.dim(0), weight.dim(1), kernel, kernel});
  need_shape("load_conv: bias", bias.shape(), {weight.dim(0)});
  if (kernel != 3 && (kernel != 1 || upsample))
    fail(ErrorCode::internal, "load_conv: expected {}3 x 3 taps, got shape {}",
         upsample ? "" : "1 x 1 or ", to_string(weight.shape()));
}

void check_conv2d(const Tensor& x, const ConvWeight& weight, const Tensor& residual,
                  const Tensor& out) {
  const int64_t times = weight.upsample ? 2 : 1;
  need_stream("conv2d: x", x.dtype());
  need_rank("conv2d: x", x, 4);
  need_shape("conv2d: x", x.shape(), {x.dim(0), x.dim(1), x.dim(2), weight.in_channels});
  const Shape expected = {x.dim(0), times * x.dim(1), times * x.dim(2), weight.out_channels};
  need("conv2d: out", out, x.dtype(), expected);
  need_if_given("conv2d: residual", residual, x.dtype(), expected);
}

void check_group_norm(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias,
                      const Tensor& out) {
  need_stream("group_norm: x", x.dtype());
  need_rank("group_norm: x", x, 4);
  need("group_norm: out", out, x.dtype(), x.shape());
  need("group_norm: weight", weight, x.dtype(), {x.dim(3)});
  need("group_norm: bias", bias, x.dtype(), {x.dim(3)});
  if (groups < 1 || x.dim(3) % groups != 0)
    fail(ErrorCode::internal, "group_norm: expected channels in {} groups, got {}", groups,
         x.dim(3));
}

void check_copy_to(const Tensor& host, const Tensor& out) {
  if (host.dtype() != out.dtype() || host.elements() != out.elements())
    fail(ErrorCode::internal, "copy to a tensor of {} {}: got {} {}", dtype_name(out.dtype()),
         to_string(out.shape()), dtype_name(host.dtype()), to_string(host.shape()));
}

void check_fill_random(const Tensor& out) { need_stream("fill_random: out", out.dtype()); }

void check_unpack_latents(const Rows& latents, const Tensor& out) {
  need_stream("unpack_latents: latents", latents.dtype);
  need_stream("unpack_latents: out", out.dtype());
  need_rank("unpack_latents: out", out, 4);
  const int64_t height = out.dim(1), width = out.dim(2);
  need_shape("unpack_latents: latents", shape_of(latents),
             {out.dim(0), (height / 2) * (width / 2), 4 * out.dim(3)});
  if (height % 2 != 0 || width % 2 != 0)
    fail(ErrorCode::internal, "unpack_latents: expected an even height and width, got {}",
         to_string(out.shape()));
}

void check_to_rgb8(const Tensor& pictures, const Tensor& rgb) {
  need_stream("to_rgb8: pictures", pictures.dtype());
  need_shape("to_rgb8: rgb", rgb.shape(), pictures.shape());
  if (rgb.dtype() != DType::u8)
    fail(ErrorCode::internal, "to_rgb8: rgb: expected U8, got {}", dtype_name(rgb.dtype()));
}

}  // namespace fluxq

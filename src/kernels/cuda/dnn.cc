#include "kernels/cuda/dnn.h"

#define CUDNN_FRONTEND_SKIP_JSON_LIB
#include <cudnn_frontend.h>

#include "kernels/cuda/check.h"
#include "kernels/cuda/conv_kernels.h"
#include "kernels/upsampling.h"
#include "kernels/workspaces.h"

namespace fluxq {
namespace {

namespace fe = cudnn_frontend;
using Node = std::shared_ptr<fe::graph::Tensor_attributes>;

enum Kind : int64_t { kAttention, kConvolution };

void check(const fe::error_t& error, std::string_view what) {
  if (error.is_good()) return;
  cuda::check_device(what);
  fail(ErrorCode::internal, "cuDNN, {}: {}", what, error.err_msg);
}

fe::graph::Tensor_attributes operand(int64_t uid, std::vector<int64_t> shape,
                                     std::vector<int64_t> strides) {
  return fe::graph::Tensor_attributes()
      .set_uid(uid)
      .set_dim(std::move(shape))
      .set_stride(std::move(strides));
}

/// Pictures [B, H, W, C] as cuDNN names their dimensions: [B, C, H, W].
fe::graph::Tensor_attributes pictures(int64_t uid, int64_t batch, int64_t height, int64_t width,
                                      int64_t channels) {
  return operand(uid, {batch, channels, height, width},
                 {height * width * channels, 1, width * channels, channels});
}

/// The strides of rows as [B, heads, rows, dim]; those of one matrix do not depend on its
/// surroundings.
std::vector<int64_t> head_strides(const Rows& x, int64_t batch, int64_t dim) {
  return {batch == 1 ? x.rows * x.row_stride : x.batch_stride, dim, x.row_stride, 1};
}

}  // namespace

/// Operand i of a graph has the uid i.
struct CudaDnn::Plan {
  fe::graph::Graph graph;
  bool supported = false;
  std::string error;  // why not
  int64_t workspace_bytes = 0;
  std::string engine;
};

CudaDnn::CudaDnn(CudaKernels& kernels, int rank) : kernels_(kernels), rank_(rank) {
  cuda::check(cudnnCreate(&handle_), "making a handle");
  cuda::check(cudnnSetStream(handle_, kernels.stream()), "choosing a stream");
}

CudaDnn::~CudaDnn() {
  plans_.clear();
  (void)cudnnDestroy(handle_);
}

CudaDnn::Plan& CudaDnn::plan(const Key& key, const Plan* like,
                             const std::function<void(Plan&)>& describe) {
  std::unique_ptr<Plan>& plan = plans_[key];
  if (plan) return *plan;
  auto built = std::make_unique<Plan>();
  built->graph.set_io_data_type(fe::DataType_t::BFLOAT16)
      .set_intermediate_data_type(fe::DataType_t::FLOAT)
      .set_compute_data_type(fe::DataType_t::FLOAT);
  describe(*built);
  build(*built, like);
  plan = std::move(built);
  return *plan;
}

void CudaDnn::build(Plan& plan, const Plan* like) const {
  using Note = fe::NumericalNote_t;
  fe::graph::Graph& graph = plan.graph;
  const auto step = [&plan](const fe::error_t& error) {
    if (error.is_bad()) plan.error = error.err_msg;
    return error.is_good();
  };
  if (!step(graph.validate()) || !step(graph.build_operation_graph(handle_)) ||
      !step(graph.create_execution_plans({fe::HeurMode_t::A, fe::HeurMode_t::FALLBACK})))
    return;
  graph.deselect_numeric_notes({Note::NONDETERMINISTIC, Note::WINOGRAD, Note::FFT});
  graph.deselect_workspace_greater_than(kDnnWorkspaceBytes);
  const int wanted = like ? 1 : rank_ + 1;
  int built = 0;
  for (int64_t i = 0; i < graph.get_execution_plan_count() && built < wanted; ++i) {
    std::string engine;  // and its knobs
    if (like && (!step(graph.get_plan_name_at_index(i, engine)) || engine != like->engine))
      continue;
    if (step(graph.build_plan_at_index(i))) ++built;
  }
  if (built == 0) return cuda::check_device("choosing an engine of cuDNN");
  check(graph.get_workspace_size(plan.workspace_bytes), "its workspace");
  check(graph.get_plan_name(plan.engine), "its engine");
  plan.supported = true;
}

void CudaDnn::run(Plan& plan, const std::vector<void*>& operands) {
  std::unordered_map<int64_t, void*> pointers;
  for (size_t i = 0; i < operands.size(); ++i) pointers[static_cast<int64_t>(i)] = operands[i];
  Arena::Scope scope(kernels_.arena());
  const Tensor workspace =
      kernels_.arena().take(DType::u8, {std::max<int64_t>(1, plan.workspace_bytes)});
  check(plan.graph.execute(handle_, pointers, workspace.raw()), plan.engine);
  last_engine_ = plan.engine;
}

CudaDnn::Plan& CudaDnn::attention_plan(const Attention& a, int64_t batch, const Plan* like) {
  const int64_t dim = a.q.cols / a.heads;
  const Rows* const rows[] = {&a.q, &a.k, &a.v, &a.out};
  Key key = {kAttention, batch,           a.heads,
             dim,        a.q.rows,        a.k.rows,
             a.causal,   !a.bias.empty(), std::bit_cast<int32_t>(a.scale)};
  for (const Rows* x : rows)
    for (const int64_t stride : head_strides(*x, batch, dim)) key.push_back(stride);
  return plan(key, like, [&](Plan& plan) {
    fe::graph::Graph& graph = plan.graph;
    const auto heads_of = [&](int64_t uid) {
      const Rows& x = *rows[uid];
      return operand(uid, {batch, a.heads, x.rows, dim}, head_strides(x, batch, dim));
    };
    const Node q = graph.tensor(heads_of(0)), k = graph.tensor(heads_of(1)),
               v = graph.tensor(heads_of(2));
    auto attributes = fe::graph::SDPA_attributes()
                          .set_name("attention")
                          .set_generate_stats(false)
                          .set_attn_scale(a.scale);
    attributes.set_causal_mask(a.causal);
    if (!a.bias.empty()) {
      const int64_t matrix = a.q.rows * a.k.rows;
      attributes.set_bias(graph.tensor(
          operand(4, {1, a.heads, a.q.rows, a.k.rows}, {a.heads * matrix, matrix, a.k.rows, 1})
              .set_data_type(fe::DataType_t::FLOAT)));
    }
    const Node out = graph.sdpa(q, k, v, attributes)[0];
    out->set_output(true)
        .set_uid(3)
        .set_dim({batch, a.heads, a.out.rows, dim})
        .set_stride(head_strides(a.out, batch, dim));
  });
}

bool CudaDnn::attention(const Attention& a) {
  Plan& alone = attention_plan(a, 1, nullptr);
  if (!alone.supported) return false;
  const auto run_from = [&](Plan& plan, int64_t b) {
    std::vector<void*> operands = {a.q.item(b).data, a.k.item(b).data, a.v.item(b).data,
                                   a.out.item(b).data};
    if (!a.bias.empty()) operands.push_back(a.bias.raw());
    run(plan, operands);
  };
  Plan& together = a.q.batch == 1 ? alone : attention_plan(a, a.q.batch, &alone);
  if (together.supported)
    run_from(together, 0);
  else
    for (int64_t b = 0; b < a.q.batch; ++b) run_from(alone, b);
  return true;
}

/// A convolution of stride 1, with zeros around the picture.
struct CudaDnn::ConvShape {
  int64_t height, width, channels, filters, kernel, padding;  // of x
  bool residual;

  int64_t out_height() const { return height + 2 * padding - kernel + 1; }
  int64_t out_width() const { return width + 2 * padding - kernel + 1; }
};

CudaDnn::Plan& CudaDnn::convolution_plan(const ConvShape& s, int64_t batch, const Plan* like) {
  const Key key = {kConvolution, batch,    s.height,  s.width,   s.channels,
                   s.filters,    s.kernel, s.padding, s.residual};
  return plan(key, like, [&](Plan& plan) {
    fe::graph::Graph& graph = plan.graph;
    const Node input = graph.tensor(pictures(0, batch, s.height, s.width, s.channels));
    const Node weights = graph.tensor(
        operand(1, {s.filters, s.channels, s.kernel, s.kernel},
                {s.kernel * s.kernel * s.channels, 1, s.kernel * s.channels, s.channels}));
    const Node biases =
        graph.tensor(operand(2, {1, s.filters, 1, 1}, {s.filters, 1, s.filters, s.filters}));
    const auto result = [&](int64_t uid) {
      return pictures(uid, batch, s.out_height(), s.out_width(), s.filters);
    };
    const auto add =
        fe::graph::Pointwise_attributes().set_name("add").set_mode(fe::PointwiseMode_t::ADD);
    Node sum = graph.conv_fprop(input, weights,
                                fe::graph::Conv_fprop_attributes()
                                    .set_name("convolution")
                                    .set_padding({s.padding, s.padding})
                                    .set_stride({1, 1})
                                    .set_dilation({1, 1}));
    sum = graph.pointwise(sum, biases, add);
    if (s.residual) sum = graph.pointwise(sum, graph.tensor(result(4)), add);
    const fe::graph::Tensor_attributes out = result(3);
    sum->set_output(true).set_uid(3).set_dim(out.get_dim()).set_stride(out.get_stride());
    sum->set_data_type(fe::DataType_t::BFLOAT16);
  });
}

void CudaDnn::convolve(const ConvShape& shape, const Tensor& x, const Tensor& weight,
                       const Tensor& bias, const Tensor& residual, const Tensor& out) {
  const int64_t batch = x.dim(0);
  Plan& alone = convolution_plan(shape, 1, nullptr);
  if (!alone.supported)
    fail(ErrorCode::unsupported, "cuDNN, a convolution of {} to {} channels on {} x {} pixels: {}",
         shape.channels, shape.filters, shape.height, shape.width, alone.error);
  const auto run_from = [&](Plan& plan, int64_t b) {
    const auto picture = [b](const Tensor& of) { return of.slice(b, b + 1).raw(); };
    std::vector<void*> operands = {picture(x), weight.raw(), bias.raw(), picture(out)};
    if (shape.residual) operands.push_back(picture(residual));
    run(plan, operands);
  };
  Plan& together = batch == 1 ? alone : convolution_plan(shape, batch, &alone);
  if (together.supported)
    run_from(together, 0);
  else
    for (int64_t b = 0; b < batch; ++b) run_from(alone, b);
}

void CudaDnn::convolve(const Tensor& x, const Tensor& weight, const Tensor& bias,
                       const Tensor& residual, const Tensor& out) {
  const int64_t kernel = weight.dim(1);
  convolve(
      {x.dim(1), x.dim(2), weight.dim(3), weight.dim(0), kernel, kernel / 2, !residual.empty()}, x,
      weight, bias, residual, out);
}

// cuDNN writes every second pixel of a picture a hundred times slower than all of them, so each
// phase goes through scratch memory. One plan serves all: with zeros on all sides, results lie in
// a picture larger by one row and column, of which each phase has another corner.
void CudaDnn::convolve_doubled(const Tensor& x, const Tensor& phases, const Tensor& bias,
                               const Tensor& residual, const Tensor& out) {
  const int64_t batch = x.dim(0), height = x.dim(1), width = x.dim(2), filters = out.dim(3);
  const ConvShape shape = {height, width, x.dim(3), filters, 2, 1, !residual.empty()};
  Arena::Scope scope(kernels_.arena());
  const Tensor results =
      kernels_.arena().take(DType::bf16, {batch, height + 1, width + 1, filters});
  for (int64_t i = 0; i < kPhases; ++i) {
    const int64_t row = i / 2, col = i % 2;
    const Tensor weight = phases.slice(i, i + 1).reshaped({filters, 2, 2, x.dim(3)});
    if (!residual.empty()) cuda::gather_phase(residual, row, col, results, kernels_.stream());
    convolve(shape, x, weight, bias, results, results);
    cuda::spread_phase(results, row, col, out, kernels_.stream());
  }
}

}  // namespace fluxq

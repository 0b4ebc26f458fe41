#include "models/flux/transformer.h"

#include <cmath>

#include "models/flux/rope.h"
#include "models/flux/sinusoid.h"

namespace fluxq {
namespace {

constexpr float kNormEps = 1e-6f;

// The same matrix for each of `batch`.
Rows repeated(Rows rows, int64_t batch) {
  rows.batch = batch;
  rows.batch_stride = 0;
  return rows;
}

// A batch of single rows seen as one matrix, or the rows of a matrix each as a matrix.
Rows batch_as_rows(Rows rows) {
  rows.rows = rows.batch;
  rows.row_stride = rows.batch_stride;
  rows.batch = 1;
  return rows;
}
Rows rows_as_batch(Rows rows) {
  rows.batch = rows.rows;
  rows.batch_stride = rows.row_stride;
  rows.rows = 1;
  return rows;
}

}  // namespace

WeightPlan FluxTransformer::plan(const FluxConfig& config, Use use) {
  WeightPlan plan;
  if (use != Use::velocity) FluxConditionWeights(config, plan);
  if (use != Use::condition) FluxStepWeights(config, plan);
  return plan;
}

FluxTransformer::FluxTransformer(const FluxConfig& config, WeightLoader& loader, Use use)
    : config_(config), layout_(config_), kernels_(loader.kernels()), stream_(loader.stream()) {
  const WeightLoader::List lists[] = {{"transformer_blocks.", config.double_blocks},
                                      {"single_transformer_blocks.", config.single_blocks}};
  loader.check(plan(config), lists);
  if (use != Use::velocity) condition_.emplace(config_, loader);
  if (use != Use::condition) steps_.emplace(config_, loader);
}

// Two layers with SiLU between, into the arena.
Rows FluxTransformer::embed(const FluxEmbedder& embedder, const Rows& input) const {
  Arena& arena = kernels_.arena();
  const Tensor out = arena.take(stream_, {input.batch, input.rows, config_.hidden()});
  Arena::Scope scope(arena);
  const Tensor inner = arena.take(stream_, {input.batch, input.rows, config_.hidden()});
  embedder.in.run(kernels_, {.x = input}, inner, {.act = Act::silu});
  embedder.out.run(kernels_, {.x = inner}, out);
  return out;
}

FluxTransformer::Conditioning FluxTransformer::condition(const Inputs& inputs) const {
  Arena& arena = kernels_.arena();
  const int64_t hidden = config_.hidden();
  const auto steps = static_cast<int64_t>(inputs.times.size());
  const int64_t batch = inputs.pooled.batch;
  const Rows& prompt = inputs.prompt_embeds;
  if (!condition_) fail(ErrorCode::internal, "a transformer without the weights of condition()");
  const FluxConditionWeights& weights = *condition_;
  if (steps < 1 || prompt.batch != batch || inputs.height < 1 || inputs.width < 1) {
    fail(ErrorCode::internal,
         "conditioning: expected steps, an image and as many prompts as pooled texts, got {} "
         "steps, {} x {} tokens, {} prompts, {} pooled texts",
         steps, inputs.height, inputs.width, prompt.batch, batch);
  }
  const auto on_device = [&](const Tensor& host) {
    const Tensor device = arena.take(host.dtype(), host.shape());
    kernels_.copy_to(host, device);
    return device;
  };

  Conditioning result;
  result.attention = inputs.attention;
  result.text = arena.take(stream_, {batch, prompt.rows, hidden});
  result.modulation = arena.take(stream_, {steps, batch, layout_.columns()});
  result.rope = on_device(rope_table(config_.axes, prompt.rows, inputs.height, inputs.width));
  weights.context_embedder.run(kernels_, {.x = prompt}, result.text);

  // (time + guidance) + pooled, each sum rounded to the stream, for each step and picture.
  Arena::Scope scope(arena);
  std::vector<float> times;
  for (const float time : inputs.times) times.push_back(model_time(time, stream_));
  Rows time = embed(weights.time, on_device(sinusoids(times, stream_)));
  if (config_.guidance) {
    const float scale[] = {model_guidance(inputs.guidance, stream_)};
    Rows guidance = embed(weights.guidance, on_device(sinusoids(scale, stream_)));
    guidance.rows = steps;
    guidance.row_stride = 0;
    kernels_.apply({.residual = guidance}, time, time);
  }
  const Rows pooled = batch_as_rows(embed(weights.pooled, inputs.pooled));
  Rows time_for_each = rows_as_batch(time);
  time_for_each.rows = batch;
  time_for_each.row_stride = 0;
  const Tensor sum = arena.take(stream_, {steps, batch, hidden});
  kernels_.apply({.residual = repeated(pooled, steps)}, time_for_each, sum);

  const Rows all = result.modulation.reshaped({steps * batch, 1, layout_.columns()});
  std::vector<Linears::Target> targets;
  int64_t begin = 0;
  for (size_t i = 0; i < weights.modulation.size(); ++i) {
    const int64_t columns = weights.modulation.out(i);
    targets.push_back({all.columns(begin, columns), {}});
    begin += columns;
  }
  weights.modulation.run(
      kernels_, {.x = sum.reshaped({steps * batch, 1, hidden}), .act = Act::silu}, targets);
  return result;
}

// The buffers and constants of one call of velocity().
struct FluxTransformer::Step {
  Rows modulation;  // [batch, 1, columns]
  Rows joint;       // [batch, text | image, hidden]: the state
  Rows wide;        // [batch, text | image, 3 hidden + mlp]: q, k, v and the MLP's inner values
  Rows attended;    // [batch, text | image, hidden]
  const Tensor& rope;
  const CancelToken& cancel;    // looked at a few times per block: of a large model one takes long
  int64_t text = 0, image = 0;  // tokens
  AttentionPrecision attention = AttentionPrecision::bf16;

  Rows vector(int64_t column, int64_t index) const {
    return modulation.columns(column + index * joint.cols, joint.cols);
  }
  // LayerNorm of rows of the state with shift and scale at `index` and the next one.
  Producer normed(const Rows& rows, int64_t column, int64_t index) const {
    return {.kind = Producer::Kind::layer_norm,
            .x = rows,
            .shift = vector(column, index),
            .scale = vector(column, index + 1),
            .eps = kNormEps};
  }
  // q, k, v: the first columns of `wide`.
  Rows part(int64_t index) const { return wide.columns(index * joint.cols, joint.cols); }
  Rows qkv() const { return wide.columns(0, 3 * joint.cols); }
  Rows inner() const { return wide.columns(3 * joint.cols, wide.cols - 3 * joint.cols); }
};

// Attention over what `make_qkv` writes into the columns of q, k and v: its products are told of
// the attention, since they may norm and rotate q and k for it.
void FluxTransformer::attend(const Step& step, std::vector<JointAttention::Stream> streams,
                             const std::function<void(JointAttention&)>& make_qkv) const {
  Arena::Scope scope(kernels_.arena());
  JointAttention joint = {.q = step.part(0),
                          .k = step.part(1),
                          .v = step.part(2),
                          .out = step.attended,
                          .streams = std::move(streams),
                          .rope = step.rope,
                          .eps = kNormEps,
                          .heads = config_.heads,
                          .scale = 1 / std::sqrt(static_cast<float>(config_.head_dim)),
                          .precision = step.attention};
  joint.codes = kernels_.attention_codes(joint);
  make_qkv(joint);
  step.cancel.check();
  kernels_.joint_attention(joint);
}

void FluxTransformer::run_double(const FluxDoubleBlock& block, int64_t index,
                                 const Step& step) const {
  // Both streams do the same, each with its own rows, weights and modulation: shift, scale and gate
  // of the attention, then of the MLP.
  struct Part {
    const FluxStream& weights;
    size_t index;  // among the attention's streams
    int64_t begin, count, column;
    Rows of(const Rows& all) const { return all.middle(begin, count); }
    JointAttention::Stream stream() const {
      return {
          .first = begin, .count = count, .q_weight = weights.q_norm, .k_weight = weights.k_norm};
    }
  };
  const Part text = {block.text, 0, 0, step.text, layout_.text(index)};
  const Part image = {block.image, 1, step.text, step.image, layout_.image(index)};
  // The text's few rows may run beside the image's many.
  const auto for_both = [&](const auto& work) {
    step.cancel.check();
    kernels_.side_by_side([&] { work(image); }, [&] { work(text); });
  };
  attend(step, {text.stream(), image.stream()}, [&](JointAttention& joint) {
    for_both([&](const Part& part) {
      part.weights.qkv.run(kernels_, step.normed(part.of(step.joint), part.column, 0),
                           part.of(step.qkv()), {.heads = {&joint, part.index}});
    });
  });
  for_both([&](const Part& part) {
    const Rows state = part.of(step.joint), inner = part.of(step.inner());
    part.weights.out.run(kernels_, {.x = part.of(step.attended)}, state,
                         {.gate = step.vector(part.column, 2), .residual = state});
    part.weights.up.run(kernels_, step.normed(state, part.column, 3), inner,
                        {.act = Act::gelu_tanh});
    part.weights.down.run(kernels_, {.x = inner}, state,
                          {.gate = step.vector(part.column, 5), .residual = state});
  });
}

void FluxTransformer::run_single(const FluxSingleBlock& block, int64_t index,
                                 const Step& step) const {
  const int64_t column = layout_.single(index);
  step.cancel.check();
  const JointAttention::Stream all = {.first = 0,
                                      .count = step.text + step.image,
                                      .q_weight = block.q_norm,
                                      .k_weight = block.k_norm};
  attend(step, {all}, [&](JointAttention& joint) {
    block.qkv_mlp.run(
        kernels_, step.normed(step.joint, column, 0),
        {{step.qkv(), {.heads = {&joint, 0}}}, {step.inner(), {.act = Act::gelu_tanh}}});
  });
  step.cancel.check();
  const Epilogue into_state = {.gate = step.vector(column, 2), .residual = step.joint};
  block.out_attention.run(kernels_, {.x = step.attended}, step.joint, into_state);
  block.out_mlp.run(kernels_, {.x = step.inner()}, step.joint, into_state);
}

void FluxTransformer::velocity(const Conditioning& conditioning, int64_t step_index,
                               const Rows& latents, const Rows& out,
                               const CancelToken& cancel) const {
  Arena& arena = kernels_.arena();
  Arena::Scope scope(arena);
  const int64_t hidden = config_.hidden();
  const int64_t batch = latents.batch;
  const int64_t text = conditioning.text.dim(1), image = latents.rows;
  if (!steps_) fail(ErrorCode::internal, "a transformer without the weights of velocity()");
  const FluxStepWeights& weights = *steps_;
  if (step_index < 0 || step_index >= conditioning.modulation.dim(0) ||
      batch != conditioning.text.dim(0) || text + image != conditioning.rope.dim(0)) {
    fail(ErrorCode::internal, "step {} on {} x {} latents does not fit its conditioning",
         step_index, batch, image);
  }
  const Step step = {
      .modulation = rows_as_batch(conditioning.modulation.slice(step_index, step_index + 1)
                                      .reshaped({batch, layout_.columns()})),
      .joint = arena.take(stream_, {batch, text + image, hidden}),
      .wide = arena.take(stream_, {batch, text + image, 3 * hidden + config_.mlp()}),
      .attended = arena.take(stream_, {batch, text + image, hidden}),
      .rope = conditioning.rope,
      .cancel = cancel,
      .text = text,
      .image = image,
      .attention = conditioning.attention};

  kernels_.produce({.x = conditioning.text}, step.joint.middle(0, text));
  const Rows picture = step.joint.middle(text, image);
  weights.x_embedder.run(kernels_, {.x = latents}, picture);
  for (size_t i = 0; i < weights.double_blocks.size(); ++i)
    run_double(weights.double_blocks[i], static_cast<int64_t>(i), step);
  for (size_t i = 0; i < weights.single_blocks.size(); ++i)
    run_single(weights.single_blocks[i], static_cast<int64_t>(i), step);
  // norm_out keeps (scale, shift), the blocks (shift, scale).
  weights.proj_out.run(kernels_,
                       {.kind = Producer::Kind::layer_norm,
                        .x = picture,
                        .shift = step.vector(layout_.last(), 1),
                        .scale = step.vector(layout_.last(), 0),
                        .eps = kNormEps},
                       out);
}

}  // namespace fluxq

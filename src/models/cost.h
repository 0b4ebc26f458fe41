/// What a stage of a picture costs by the model's definition, as plain functions of its config and
/// sizes: the numerator of every TFLOP/s and GB/s that a report gives.
#pragma once

#include "models/clip/config.h"
#include "models/flux/config.h"
#include "models/t5/config.h"
#include "models/vae/config.h"

namespace fluxq {

/// FLOPs count a multiplication and an addition as two and leave everything else out (norms,
/// activations, softmax). Elements count what the operations of kernels.h must move if each reads
/// its inputs and writes its output once: a lower bound of the traffic, in elements because a
/// scheme decides their bytes.
struct Cost {
  double linear_flops = 0;
  double attention_flops = 0;
  double conv_flops = 0;
  double weight_elements = 0;      ///< of matrices, read once per call whatever the batch
  double activation_elements = 0;  ///< written and read

  double flops() const { return linear_flops + attention_flops + conv_flops; }
  Cost& operator+=(const Cost& other);
};

Cost t5_cost(const T5Config& config, int64_t batch, int64_t tokens);
Cost clip_cost(const ClipConfig& config, int64_t batch, int64_t tokens);
/// FluxTransformer::condition(): once per picture.
Cost flux_condition_cost(const FluxConfig& config, int64_t batch, int64_t text_tokens,
                         int64_t steps);
/// FluxTransformer::velocity(): once per step.
Cost flux_step_cost(const FluxConfig& config, int64_t batch, int64_t text_tokens,
                    int64_t image_tokens);
/// VaeDecoder::decode() of height x width tokens.
Cost vae_cost(const VaeConfig& config, int64_t batch, int64_t height, int64_t width);

}  // namespace fluxq

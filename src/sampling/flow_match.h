/// The noise levels of each step, as diffusers' FluxPipeline takes them from its
/// FlowMatchEulerDiscreteScheduler (diffusers 0.42), in the same float32 arithmetic.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace fluxq {

/// scheduler/scheduler_config.json. Defaults are diffusers'.
struct FlowMatchConfig {
  enum class TimeShift { exponential, linear };
  enum class Spacing { plain, karras, exponential };

  int64_t num_train_timesteps = 1000;
  double shift = 1;  ///< used without dynamic shifting
  /// Dynamic shifting: more image tokens, longer at high noise. The shift mu is linear in the
  /// tokens, through (base_image_seq_len, base_shift) and (max_image_seq_len, max_shift).
  bool use_dynamic_shifting = false;
  double base_shift = 0.5, max_shift = 1.15;
  double base_image_seq_len = 256, max_image_seq_len = 4096;
  TimeShift time_shift_type = TimeShift::exponential;
  double shift_terminal = 0;  ///< the last sigma before the final one is stretched to it; 0: as is
  Spacing spacing = Spacing::plain;
  bool invert_sigmas = false;
};

/// Reads a scheduler_config.json. Errors: corrupt_file for wrong types and ranges; unsupported,
/// naming the key, for another scheduler, stochastic_sampling, use_beta_sigmas, use_flow_sigmas, or
/// a sigma_min or sigma_max of its own.
FlowMatchConfig parse_flow_match_config(const Json& config, std::string_view where);

/// As a picture's metadata names it: "flow_match_euler shift=3", "flow_match_euler dynamic_shift".
std::string sampler_name(const FlowMatchConfig& config);

inline constexpr int64_t kMaxSteps = 10'000;

/// sigmas [steps + 1], from nearly pure noise to the picture (0; with invert_sigmas from 0 to 1).
/// `image_tokens` is (height / 16) (width / 16) with a VAE of four blocks. Errors: bad_argument
/// for steps outside [1, kMaxSteps] or no tokens; unsupported when the config gives no finite
/// numbers for them (diffusers fails or makes NaN pictures there).
std::vector<float> flow_match_sigmas(const FlowMatchConfig& config, int64_t steps,
                                     int64_t image_tokens);

/// What the transformer's timestep embedding sees at `sigma`: the pipeline passes timestep / 1000,
/// the model multiplies by 1000 again; each rounds to float32.
float transformer_timestep(const FlowMatchConfig& config, float sigma);

}  // namespace fluxq

/// The order of operations is FluxPipeline.__call__'s and set_timesteps' (calculate_shift, default
/// sigmas, shift, terminal stretch, spacing, inversion). What Python computes in float64 is double
/// here; what NumPy computes in float32 (an array with Python scalars) is float, scalars rounded to
/// float first, each operation rounded once.
#include "sampling/flow_match.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace fluxq {
namespace {

/// numpy.linspace(start, stop, count) in float64.
std::vector<double> linspace(double start, double stop, int64_t count) {
  std::vector<double> values(count);
  const double step = count > 1 ? (stop - start) / static_cast<double>(count - 1) : 0;
  for (int64_t i = 0; i < count; ++i) values[i] = static_cast<double>(i) * step + start;
  if (count > 1) values.back() = stop;
  return values;
}

/// t to c / (c + (1 / t - 1)): the line for mu, its exponential for e^mu.
void shift_time(std::vector<float>& sigmas, float c) {
  for (float& sigma : sigmas) sigma = c / (c + (1.0f / sigma - 1.0f));
}

/// mu, the dynamic shift at `image_tokens` (calculate_shift).
double dynamic_shift(const FlowMatchConfig& config, int64_t image_tokens) {
  const double slope = (config.max_shift - config.base_shift) /
                       (config.max_image_seq_len - config.base_image_seq_len);
  const double offset = config.base_shift - slope * config.base_image_seq_len;
  return static_cast<double>(image_tokens) * slope + offset;
}

/// 1 - sigma is scaled so that the last sigma becomes `terminal`.
void stretch_to(std::vector<float>& sigmas, double terminal) {
  const float scale = (1.0f - sigmas.back()) / static_cast<float>(1.0 - terminal);
  for (float& sigma : sigmas) sigma = 1.0f - (1.0f - sigma) / scale;
}

/// Replaces all sigmas between the first and the last: evenly spaced in sigma^(1/7) (Karras et al.
/// 2022, equation 5) or in log(sigma).
void respace(std::vector<float>& sigmas, FlowMatchConfig::Spacing spacing) {
  const double high = sigmas.front(), low = sigmas.back();
  const int64_t count = static_cast<int64_t>(sigmas.size());
  if (spacing == FlowMatchConfig::Spacing::karras) {
    constexpr double kRho = 7;
    const double from = std::pow(high, 1 / kRho), to = std::pow(low, 1 / kRho);
    const std::vector<double> ramp = linspace(0, 1, count);
    std::transform(ramp.begin(), ramp.end(), sigmas.begin(), [&](double r) {
      return static_cast<float>(std::pow(from + r * (to - from), kRho));
    });
  } else {
    const std::vector<double> logs = linspace(std::log(high), std::log(low), count);
    std::transform(logs.begin(), logs.end(), sigmas.begin(),
                   [](double log) { return static_cast<float>(std::exp(log)); });
  }
}

void refuse_if(bool present, std::string_view key, std::string_view where) {
  if (present)
    fail(ErrorCode::unsupported,
         "{}: {}: expected a plain flow-matching schedule, got a setting that is not supported",
         where, key);
}

}  // namespace

FlowMatchConfig parse_flow_match_config(const Json& config, std::string_view where) {
  const std::string name =
      optional_string(config, "_class_name", where, "FlowMatchEulerDiscreteScheduler");
  if (name != "FlowMatchEulerDiscreteScheduler")
    fail(ErrorCode::unsupported,
         "{}: _class_name: expected FlowMatchEulerDiscreteScheduler, got {}", where,
         describe(config.at("_class_name")));
  for (std::string_view key : {"stochastic_sampling", "use_beta_sigmas", "use_flow_sigmas"})
    refuse_if(optional_bool(config, key, where, false), key, where);
  for (std::string_view key : {"sigma_min", "sigma_max"}) {
    const Json* value = find_member(config, key, where);
    refuse_if(value != nullptr && !value->is_null(), key, where);
  }

  FlowMatchConfig result;
  result.num_train_timesteps =
      optional_int(config, "num_train_timesteps", where, result.num_train_timesteps, 1, 1'000'000);
  result.shift = optional_number(config, "shift", where, result.shift);
  if (!(result.shift > 0))
    fail(ErrorCode::corrupt_file, "{}: shift: expected a number above 0, got {}", where,
         result.shift);
  result.use_dynamic_shifting = optional_bool(config, "use_dynamic_shifting", where, false);
  result.base_shift = optional_number(config, "base_shift", where, result.base_shift);
  result.max_shift = optional_number(config, "max_shift", where, result.max_shift);
  result.base_image_seq_len =
      optional_number(config, "base_image_seq_len", where, result.base_image_seq_len);
  result.max_image_seq_len =
      optional_number(config, "max_image_seq_len", where, result.max_image_seq_len);
  result.shift_terminal = optional_number(config, "shift_terminal", where, 0);
  result.invert_sigmas = optional_bool(config, "invert_sigmas", where, false);

  const std::string type = optional_string(config, "time_shift_type", where, "exponential");
  if (type != "exponential" && type != "linear")
    fail(ErrorCode::corrupt_file, "{}: time_shift_type: expected exponential or linear, got {}",
         where, describe(config.at("time_shift_type")));
  if (type == "linear") result.time_shift_type = FlowMatchConfig::TimeShift::linear;

  const bool karras = optional_bool(config, "use_karras_sigmas", where, false);
  const bool exponential = optional_bool(config, "use_exponential_sigmas", where, false);
  if (karras && exponential)
    fail(ErrorCode::corrupt_file,
         "{}: expected at most one of use_karras_sigmas and use_exponential_sigmas, got both",
         where);
  if (karras) result.spacing = FlowMatchConfig::Spacing::karras;
  if (exponential) result.spacing = FlowMatchConfig::Spacing::exponential;
  return result;
}

std::string sampler_name(const FlowMatchConfig& config) {
  return config.use_dynamic_shifting ? "flow_match_euler dynamic_shift"
                                     : fmt::format("flow_match_euler shift={}", config.shift);
}

std::vector<float> flow_match_sigmas(const FlowMatchConfig& config, int64_t steps,
                                     int64_t image_tokens) {
  if (steps < 1 || steps > kMaxSteps)
    fail(ErrorCode::bad_argument, "steps: expected 1 to {}, got {}", kMaxSteps, steps);
  if (image_tokens < 1)
    fail(ErrorCode::bad_argument, "image tokens: expected at least 1, got {}", image_tokens);

  const std::vector<double> even = linspace(1, 1 / static_cast<double>(steps), steps);
  std::vector<float> sigmas(even.begin(), even.end());
  if (config.use_dynamic_shifting) {
    const double mu = dynamic_shift(config, image_tokens);
    const bool linear = config.time_shift_type == FlowMatchConfig::TimeShift::linear;
    shift_time(sigmas, static_cast<float>(linear ? mu : std::exp(mu)));
  } else {
    const float shift = static_cast<float>(config.shift);
    const float shift_less_1 = static_cast<float>(config.shift - 1);
    for (float& sigma : sigmas) sigma = shift * sigma / (1.0f + shift_less_1 * sigma);
  }
  if (config.shift_terminal != 0) stretch_to(sigmas, config.shift_terminal);
  if (config.spacing != FlowMatchConfig::Spacing::plain) respace(sigmas, config.spacing);
  if (config.invert_sigmas)
    for (float& sigma : sigmas) sigma = 1.0f - sigma;
  sigmas.push_back(config.invert_sigmas ? 1.0f : 0.0f);

  for (float sigma : sigmas)
    if (!std::isfinite(sigma))
      fail(ErrorCode::unsupported,
           "scheduler: expected finite noise levels for {} steps and {} image tokens, got {}",
           steps, image_tokens, sigma);
  return sigmas;
}

float transformer_timestep(const FlowMatchConfig& config, float sigma) {
  const float timestep = sigma * static_cast<float>(config.num_train_timesteps);
  return timestep / 1000.0f * 1000.0f;
}

}  // namespace fluxq

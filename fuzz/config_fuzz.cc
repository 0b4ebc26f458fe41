/// The configs of a model's parts, one after the other: an input that one refuses may suit another.
#include "base/error.h"
#include "models/clip/config.h"
#include "models/flux/config.h"
#include "models/t5/config.h"
#include "models/vae/config.h"
#include "sampling/flow_match.h"
#include "target.h"

namespace fluxq::fuzz {
namespace {

template <typename Parse>
void try_with(const Json& json, const Parse& parse) {
  Progress silent;
  try {
    if constexpr (std::is_invocable_v<Parse, const Json&, std::string_view>)
      parse(json, "config");
    else
      parse(json, "config", silent);
  } catch (const Error& error) {
    expect(error.code() == ErrorCode::corrupt_file || error.code() == ErrorCode::unsupported,
           "a config is refused as corrupt or unsupported");
  }
}

}  // namespace

void read(std::string_view input) {
  const Json json = parse_json(input, "config");
  try_with(json, parse_flux_config);
  try_with(json, parse_t5_config);
  try_with(json, parse_clip_config);
  try_with(json, parse_vae_config);
  try_with(json, [](const Json& config, std::string_view where) {
    const FlowMatchConfig scheduler = parse_flow_match_config(config, where);
    const auto sigmas = flow_match_sigmas(scheduler, 4, 1024);
    for (const float sigma : sigmas) expect(sigma == sigma, "no noise level is NaN");
  });
}

std::string repaired(std::string input) { return input; }

}  // namespace fluxq::fuzz

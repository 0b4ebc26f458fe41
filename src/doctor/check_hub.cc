/// The Hugging Face cache, the model, the token, and what the Hub says.
#include <fmt/format.h>

#include "doctor/checks.h"
#include "hub/cache_layout.h"

namespace fluxq {
namespace {

Check check_cache(const HubFacts& hub) {
  Check check{.name = "model cache",
              .text = fmt::format("{}: {} {}, {}", hub.cache, hub.models,
                                  hub.models == 1 ? "model" : "models",
                                  gigabytes(static_cast<double>(hub.bytes))),
              .details = {{"path", hub.cache},
                          {"models", hub.models},
                          {"bytes", hub.bytes},
                          {"unfinished_bytes", hub.unfinished_bytes}}};
  if (!hub.cache_trouble.empty()) {
    check.health = Health::problem;
    check.text = hub.cache_trouble;
    check.advice = "make the folder readable, or put the cache elsewhere with HF_HOME";
  } else if (hub.unfinished_bytes > 0) {
    check.health = Health::warning;
    check.text += fmt::format(", of which {} are unfinished downloads",
                              gigabytes(static_cast<double>(hub.unfinished_bytes)));
    check.advice = "fluxq fetch goes on with them; fluxq cache list shows them";
  }
  return check;
}

Check check_model(const ModelFacts& model) {
  Check check{.name = "model",
              .text = fmt::format("{}: {}", model.name, model.path),
              .details = {{"name", model.name}, {"path", model.path}}};
  if (!model.trouble.empty()) {
    check.health = Health::problem;
    check.text = model.trouble;
    check.advice = parse_hub_name(model.name)
                       ? fmt::format("fluxq fetch {} brings what is missing", model.name)
                       : "mend the folder, or name another one with --model";
  } else if (model.path.empty()) {
    check.health = Health::warning;
    check.text = fmt::format("{} is not on this machine", model.name);
    check.advice = fmt::format("fluxq fetch {}; the bundled model needs no download", model.name);
  }
  return check;
}

Check check_token(const HubFacts& hub, const ModelFacts& model) {
  Check check{.name = "Hugging Face token",
              .text = "found in " + hub.token_origin,
              .details = {{"origin", hub.token_origin}, {"offline", hub.offline}}};
  if (!hub.token_trouble.empty()) {
    check.health = Health::problem;
    check.text = hub.token_trouble;
    check.advice = "fluxq login stores a new one";
  } else if (hub.token_origin.empty()) {
    check.text = "none";
    if (model.is_here()) return check;
    check.health = Health::warning;
    check.advice = "gated models need one: fluxq login, or set HF_TOKEN";
  } else if (hub.offline) {
    check.text += "; HF_HUB_OFFLINE is set, so nobody asks whether it may read the model";
  } else if (!hub.asked && parse_hub_name(model.name)) {
    check.text += "; fluxq doctor --online asks whether it may read the model";
  }
  return check;
}

Check check_access(const HubFacts& hub, const ModelFacts& model) {
  Check check{.name = "access to the model",
              .text = fmt::format("{} may be read{}", model.name,
                                  hub.account.empty() ? "" : " by " + hub.account),
              .details = {{"account", hub.account}, {"readable", hub.access_trouble.empty()}}};
  if (hub.access_trouble.empty()) return check;
  check.health = Health::problem;
  check.text = hub.access_trouble;
  check.advice =
      "a licence is accepted on the model's page, fluxq login stores a token; where nothing "
      "answers, see to the connection (HTTPS_PROXY, HF_ENDPOINT)";
  return check;
}

}  // namespace

std::vector<Check> check_hub(const MachineFacts& facts) {
  std::vector<Check> checks = {check_cache(facts.hub), check_model(facts.model),
                               check_token(facts.hub, facts.model)};
  if (facts.hub.asked) checks.push_back(check_access(facts.hub, facts.model));
  return checks;
}

}  // namespace fluxq

#include "bench/messages.h"

#include <array>

#include "base/error.h"
#include "bench/results_json.h"

namespace fluxq {
namespace {

constexpr std::array<std::string_view, 4> kOrders = {"load", "cell", "picture", "survey"};
constexpr std::array<std::string_view, 7> kAnswers = {"beat",    "warning", "ready", "cell",
                                                      "picture", "survey",  "failed"};

size_t kind_of(const Json& json, std::string_view key, std::span<const std::string_view> names,
               std::string_view where) {
  const std::string name = require_string(json, key, where);
  for (size_t i = 0; i < names.size(); ++i)
    if (names[i] == name) return i;
  fail(ErrorCode::corrupt_file, "{}: {}: expected one of {}, got \"{}\"", where, key,
       fmt::join(names, ", "), name);
}

const Json& require_part(const Json& json, std::string_view key, std::string_view where) {
  const Json* part = find_member(json, key, where);
  if (!part) fail(ErrorCode::corrupt_file, "{}: {}: expected an object, got none", where, key);
  return *part;
}

/// Texts of a worker may hold any bytes (a file's name): repaired, not refused.
std::string line_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

std::string to_line(const Order& order) {
  Json json = {{"do", kOrders[static_cast<size_t>(order.kind)]}};
  switch (order.kind) {
    case Order::Kind::load:
      json["scheme"] = order.load.scheme;
      json["device"] = order.load.device;
      json["threads"] = order.load.threads;
      json["run_folder"] = order.load.run_folder.string();
      json["weights_sha256"] = order.load.weights_sha256;
      json["plan"] = to_json(order.load.plan);
      break;
    case Order::Kind::cell:
      json["cell"] = to_json(order.cell);
      break;
    case Order::Kind::picture:
      json["picture"] = to_json(order.picture.what);
      json["seed_change"] = order.picture.seed_change;
      break;
    case Order::Kind::survey:
      json["device"] = order.survey.device;
      json["threads"] = order.survey.threads;
      json["ceilings"] = order.survey.ceilings;
      json["plan"] = to_json(order.survey.plan);
      break;
  }
  return line_of(json);
}

Order order_from(std::string_view line) {
  constexpr std::string_view kWhere = "an order to a benchmark worker";
  const Json json = parse_json(line, kWhere, {.bytes = kMaxMessageBytes});
  const auto threads = [&] {
    return static_cast<int>(require_int(json, "threads", kWhere, 1, 1 << 20));
  };
  const auto plan = [&] { return plan_from_json(require_part(json, "plan", kWhere), kWhere); };
  Order order{.kind = static_cast<Order::Kind>(kind_of(json, "do", kOrders, kWhere))};
  switch (order.kind) {
    case Order::Kind::load:
      order.load = {.scheme = require_string(json, "scheme", kWhere),
                    .device = require_string(json, "device", kWhere),
                    .threads = threads(),
                    .run_folder = require_string(json, "run_folder", kWhere),
                    .weights_sha256 = require_string(json, "weights_sha256", kWhere),
                    .plan = plan()};
      break;
    case Order::Kind::cell:
      order.cell = cell_key_from_json(require_part(json, "cell", kWhere), kWhere);
      break;
    case Order::Kind::picture:
      order.picture = {.what = picture_from_json(require_part(json, "picture", kWhere), kWhere),
                       .seed_change = require_bool(json, "seed_change", kWhere)};
      break;
    case Order::Kind::survey:
      order.survey = {.device = require_string(json, "device", kWhere),
                      .threads = threads(),
                      .ceilings = require_bool(json, "ceilings", kWhere),
                      .plan = plan()};
      break;
  }
  return order;
}

std::string to_line(const Answer& answer) {
  Json json = {{"say", kAnswers[static_cast<size_t>(answer.kind)]}};
  if (!answer.text.empty()) json["text"] = answer.text;
  if (!answer.code.empty()) json["code"] = answer.code;
  if (answer.kind == Answer::Kind::cell) json["cell"] = to_json(answer.cell);
  if (answer.kind == Answer::Kind::picture) json["picture"] = to_json(answer.picture);
  if (answer.kind == Answer::Kind::survey) {
    json["memory"] = answer.survey.memory;
    json["noise_floor"] = to_string(answer.survey.noise_floor);
    json["flops"] = answer.survey.ceilings.flops;
    json["bytes"] = answer.survey.ceilings.bytes;
  }
  return line_of(json);
}

Answer answer_from(std::string_view line) {
  constexpr std::string_view kWhere = "the worker's answer";
  const Json json = parse_json(line, kWhere, {.bytes = kMaxMessageBytes});
  Answer answer{.kind = static_cast<Answer::Kind>(kind_of(json, "say", kAnswers, kWhere))};
  answer.text = optional_string(json, "text", kWhere, "");
  answer.code = optional_string(json, "code", kWhere, "");
  if (answer.kind == Answer::Kind::cell)
    answer.cell = cell_from_json(require_part(json, "cell", kWhere), kWhere);
  if (answer.kind == Answer::Kind::picture)
    answer.picture = picture_from_json(require_part(json, "picture", kWhere), kWhere);
  if (answer.kind == Answer::Kind::survey) {
    answer.survey = {
        .memory = require_string(json, "memory", kWhere),
        .noise_floor = noise_floor_from(require_string(json, "noise_floor", kWhere), kWhere),
        .ceilings = {.flops = {}, .bytes = require_number(json, "bytes", kWhere, 0)}};
    const Json& flops = require_part(json, "flops", kWhere);
    for (const auto& [type, rate] : flops.items())
      answer.survey.ceilings.flops[type] = require_number(flops, type, kWhere, 0);
  }
  return answer;
}

}  // namespace fluxq

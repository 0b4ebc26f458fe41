#include "bench/results_json.h"

#include <cmath>
#include <filesystem>
#include <limits>

#include "base/error.h"

namespace fluxq {
namespace {

constexpr int64_t kMaxBytes = std::numeric_limits<int64_t>::max();
constexpr int kMaxInt = std::numeric_limits<int>::max();
constexpr size_t kMaxSamples = 1 << 20;
constexpr std::string_view kIdentical = "identical";

constexpr std::array<std::string_view, 4> kStatuses = {"pending", "running", "done", "failed"};
constexpr std::array<std::string_view, 3> kNoiseFloors = {"f32_run", "second_kernels", "none"};

Json optional_json(const auto& value) { return value ? Json(*value) : Json(nullptr); }

const Json& require_member(const Json& object, std::string_view key, std::string_view where) {
  const Json* member = find_member(object, key, where);
  if (!member) fail(ErrorCode::corrupt_file, "{}: {}: expected a value, got none", where, key);
  return *member;
}

const Json& require_array(const Json& object, std::string_view key, std::string_view where) {
  const Json& member = require_member(object, key, where);
  if (!member.is_array() || member.size() > kMaxSamples)
    fail(ErrorCode::corrupt_file, "{}: {}: expected a list, got {}", where, key, describe(member));
  return member;
}

const Json& require_object(const Json& object, std::string_view key, std::string_view where) {
  const Json& member = require_member(object, key, where);
  if (!member.is_object())
    fail(ErrorCode::corrupt_file, "{}: {}: expected an object, got {}", where, key,
         describe(member));
  return member;
}

std::optional<double> optional_value(const Json& object, std::string_view key,
                                     std::string_view where) {
  const Json* member = find_member(object, key, where);
  if (!member || member->is_null()) return std::nullopt;
  return require_number(object, key, where);
}

template <typename T>
std::optional<T> optional_count(const Json& object, std::string_view key, std::string_view where) {
  const Json* member = find_member(object, key, where);
  if (!member || member->is_null()) return std::nullopt;
  return static_cast<T>(require_int(object, key, where, 0, std::numeric_limits<T>::max()));
}

std::vector<double> require_samples(const Json& object, std::string_view key,
                                    std::string_view where) {
  std::vector<double> values;
  for (const Json& value : require_array(object, key, where)) {
    if (!value.is_number() || !(value.get<double>() >= 0))
      fail(ErrorCode::corrupt_file, "{}: {}: expected numbers not below 0, got {}", where, key,
           describe(value));
    values.push_back(value.get<double>());
  }
  return values;
}

std::vector<std::string> require_strings(const Json& object, std::string_view key,
                                         std::string_view where) {
  std::vector<std::string> values;
  for (const Json& value : require_array(object, key, where)) {
    if (!value.is_string())
      fail(ErrorCode::corrupt_file, "{}: {}: expected texts, got {}", where, key, describe(value));
    values.push_back(value.get<std::string>());
  }
  return values;
}

std::vector<uint64_t> require_seeds(const Json& object, std::string_view key,
                                    std::string_view where) {
  std::vector<uint64_t> values;
  for (const Json& value : require_array(object, key, where)) {
    if (!value.is_number_unsigned())
      fail(ErrorCode::corrupt_file, "{}: {}: expected seeds, got {}", where, key, describe(value));
    values.push_back(value.get<uint64_t>());
  }
  return values;
}

Json to_json(const DeviceState& state) {
  return {{"clock_mhz", optional_json(state.clock_mhz)},
          {"memory_clock_mhz", optional_json(state.memory_clock_mhz)},
          {"temperature_c", optional_json(state.temperature_c)},
          {"power_w", optional_json(state.power_w)},
          {"other_processes", optional_json(state.other_processes)},
          {"load_average", optional_json(state.load_average)}};
}

DeviceState state_from_json(const Json& json, std::string_view where) {
  return {.clock_mhz = optional_value(json, "clock_mhz", where),
          .memory_clock_mhz = optional_value(json, "memory_clock_mhz", where),
          .temperature_c = optional_value(json, "temperature_c", where),
          .power_w = optional_value(json, "power_w", where),
          .other_processes = optional_count<int>(json, "other_processes", where),
          .load_average = optional_value(json, "load_average", where)};
}

template <size_t count>
size_t find_name(const std::array<std::string_view, count>& names, std::string_view name,
                 std::string_view where) {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end())
    fail(ErrorCode::corrupt_file, "{}: expected one of {}, got \"{}\"", where,
         fmt::join(names, ", "), name);
  return static_cast<size_t>(found - names.begin());
}

}  // namespace

std::string_view to_string(CellStatus status) { return kStatuses[static_cast<size_t>(status)]; }

std::string_view to_string(NoiseFloor noise_floor) {
  return kNoiseFloors[static_cast<size_t>(noise_floor)];
}

NoiseFloor noise_floor_from(std::string_view name, std::string_view where) {
  return static_cast<NoiseFloor>(find_name(kNoiseFloors, name, where));
}

Json to_json(const Environment& e) {
  return {{"fluxq_version", e.fluxq_version},
          {"binary_sha256", e.binary_sha256},
          {"build", e.build},
          {"model_name", e.model_name},
          {"weights_sha256", e.weights_sha256},
          {"variant", e.variant},
          {"synthetic", e.synthetic},
          {"device", e.device},
          {"device_name", e.device_name},
          {"driver", e.driver},
          {"cuda", e.cuda},
          {"kernel", e.kernel},
          {"os", e.os},
          {"isa", e.isa},
          {"threads", e.threads},
          {"host_memory_bytes", e.host_memory_bytes},
          {"device_memory_bytes", optional_json(e.device_memory_bytes)},
          {"ceiling_flops", e.ceiling_flops},
          {"ceiling_bytes", e.ceiling_bytes},
          {"started", e.started}};
}

Environment environment_from_json(const Json& json, std::string_view where) {
  const auto text = [&](std::string_view key) { return require_string(json, key, where); };
  Environment e{.fluxq_version = text("fluxq_version"),
                .binary_sha256 = text("binary_sha256"),
                .build = text("build"),
                .model_name = text("model_name"),
                .weights_sha256 = text("weights_sha256"),
                .variant = text("variant"),
                .synthetic = require_bool(json, "synthetic", where),
                .device = text("device"),
                .device_name = text("device_name"),
                .driver = text("driver"),
                .cuda = text("cuda"),
                .kernel = text("kernel"),
                .os = text("os"),
                .isa = text("isa"),
                .threads = static_cast<int>(require_int(json, "threads", where, 0, kMaxInt)),
                .host_memory_bytes = require_int(json, "host_memory_bytes", where, 0, kMaxBytes),
                .device_memory_bytes = optional_count<int64_t>(json, "device_memory_bytes", where),
                .ceiling_flops = {},
                .ceiling_bytes = require_number(json, "ceiling_bytes", where, 0),
                .started = text("started")};
  const Json& ceilings = require_object(json, "ceiling_flops", where);
  for (const auto& [type, value] : ceilings.items())
    e.ceiling_flops[type] = require_number(ceilings, type, where, 0);
  return e;
}

Json to_json(const Plan& plan) {
  return {{"model", plan.model},
          {"schemes", plan.schemes},
          {"batches", plan.batches},
          {"sizes", plan.sizes},
          {"steps", plan.steps},
          {"guidance", plan.guidance},
          {"max_text_tokens", plan.max_text_tokens},
          {"prompts", plan.prompts},
          {"seeds", plan.seeds},
          {"warmups", plan.warmups},
          {"repeats", plan.repeats},
          {"recipe", plan.recipe},
          {"attention", plan.attention}};
}

Plan plan_from_json(const Json& json, std::string_view where) {
  const auto count = [&](std::string_view key, int min) {
    return static_cast<int>(require_int(json, key, where, min, kMaxInt));
  };
  Plan plan{.model = require_string(json, "model", where),
            .schemes = require_strings(json, "schemes", where),
            .batches = {},
            .sizes = {},
            .steps = count("steps", 1),
            .guidance = require_number(json, "guidance", where),
            .max_text_tokens = count("max_text_tokens", 1),
            .prompts = require_strings(json, "prompts", where),
            .seeds = require_seeds(json, "seeds", where),
            .warmups = count("warmups", 0),
            .repeats = count("repeats", 1),
            .recipe = optional_string(json, "recipe", where, ""),
            .attention = optional_string(json, "attention", where, "bf16")};
  for (int64_t batch : require_ints(json, "batches", where, 1, kMaxInt))
    plan.batches.push_back(static_cast<int>(batch));
  for (const Json& size : require_array(json, "sizes", where)) {
    const Json pair = {{"sizes", size}};
    const std::vector<int64_t> sides = require_ints(pair, "sizes", where, 1, kMaxInt, 2);
    if (sides.size() != 2)
      fail(ErrorCode::corrupt_file, "{}: sizes: expected [width, height], got {}", where,
           describe(size));
    plan.sizes.emplace_back(static_cast<int>(sides[0]), static_cast<int>(sides[1]));
  }
  return plan;
}

Json to_json(const CellKey& key) {
  return {
      {"scheme", key.scheme}, {"batch", key.batch}, {"width", key.width}, {"height", key.height}};
}

CellKey cell_key_from_json(const Json& json, std::string_view where) {
  const auto count = [&](std::string_view key) {
    return static_cast<int>(require_int(json, key, where, 1, kMaxInt));
  };
  return {.scheme = require_string(json, "scheme", where),
          .batch = count("batch"),
          .width = count("width"),
          .height = count("height")};
}

Json to_json(const Cell& cell) {
  Json memory = Json::array();
  for (const PhaseMemory& phase : cell.memory) {
    memory.push_back({{"phase", phase.phase},
                      {"host_peak_bytes", phase.host_peak_bytes},
                      {"device_peak_bytes", optional_json(phase.device_peak_bytes)}});
  }
  return {{"key", to_json(cell.key)},
          {"status", to_string(cell.status)},
          {"failure_code", cell.failure_code},
          {"failure", cell.failure},
          {"attempts", cell.attempts},
          {"warmups", cell.warmups},
          {"load_ms", cell.load_ms},
          {"quantize_ms", cell.quantize_ms},
          {"cold_ms", cell.cold_ms},
          {"text_ms", cell.text_ms},
          {"denoise_ms", cell.denoise_ms},
          {"vae_ms", cell.vae_ms},
          {"total_ms", cell.total_ms},
          {"step_ms", cell.step_ms},
          {"memory", memory},
          {"part_bytes", cell.part_bytes},
          {"flops", cell.flops},
          {"weight_bytes_read", cell.weight_bytes_read},
          {"before", to_json(cell.before)},
          {"after", to_json(cell.after)},
          {"notes", cell.notes}};
}

Cell cell_from_json(const Json& json, std::string_view where) {
  Cell cell;
  cell.key = cell_key_from_json(require_object(json, "key", where), where);
  cell.status =
      static_cast<CellStatus>(find_name(kStatuses, require_string(json, "status", where), where));
  cell.failure_code = require_string(json, "failure_code", where);
  cell.failure = require_string(json, "failure", where);
  cell.attempts = static_cast<int>(require_int(json, "attempts", where, 0, kMaxInt));
  cell.warmups = static_cast<int>(require_int(json, "warmups", where, 0, kMaxInt));
  cell.load_ms = require_number(json, "load_ms", where, 0);
  cell.quantize_ms = require_number(json, "quantize_ms", where, 0);
  cell.cold_ms = require_number(json, "cold_ms", where, 0);
  cell.text_ms = require_samples(json, "text_ms", where);
  cell.denoise_ms = require_samples(json, "denoise_ms", where);
  cell.vae_ms = require_samples(json, "vae_ms", where);
  cell.total_ms = require_samples(json, "total_ms", where);
  cell.step_ms = require_samples(json, "step_ms", where);
  for (const Json& phase : require_array(json, "memory", where)) {
    cell.memory.push_back(
        {.phase = require_string(phase, "phase", where),
         .host_peak_bytes = require_int(phase, "host_peak_bytes", where, 0, kMaxBytes),
         .device_peak_bytes = optional_count<int64_t>(phase, "device_peak_bytes", where)});
  }
  const Json& parts = require_object(json, "part_bytes", where);
  for (const auto& [part, bytes] : parts.items())
    cell.part_bytes[part] = require_int(parts, part, where, 0, kMaxBytes);
  cell.flops = require_number(json, "flops", where, 0);
  cell.weight_bytes_read = require_number(json, "weight_bytes_read", where, 0);
  cell.before = state_from_json(require_object(json, "before", where), where);
  cell.after = state_from_json(require_object(json, "after", where), where);
  cell.notes = require_strings(json, "notes", where);
  return cell;
}

Json to_json(const PictureResult& picture) {
  Json psnr = optional_json(picture.psnr_db);
  if (picture.psnr_db && std::isinf(*picture.psnr_db)) psnr = kIdentical;
  return {{"scheme", picture.scheme},
          {"prompt", picture.prompt},
          {"seed", picture.seed},
          {"width", picture.width},
          {"height", picture.height},
          {"file", picture.file},
          {"sha256", picture.sha256},
          {"has_nan", picture.has_nan},
          {"black", picture.black},
          {"constant", picture.constant},
          {"psnr_db", psnr},
          {"ssim", optional_json(picture.ssim)},
          {"flip", optional_json(picture.flip)},
          {"latent_drift", picture.latent_drift}};
}

PictureResult picture_from_json(const Json& json, std::string_view where) {
  const auto count = [&](std::string_view key, int min) {
    return static_cast<int>(require_int(json, key, where, min, kMaxInt));
  };
  const Json& seed = require_member(json, "seed", where);
  if (!seed.is_number_unsigned())
    fail(ErrorCode::corrupt_file, "{}: seed: expected a seed, got {}", where, describe(seed));
  PictureResult picture{.scheme = require_string(json, "scheme", where),
                        .prompt = count("prompt", 0),
                        .seed = seed.get<uint64_t>(),
                        .width = count("width", 1),
                        .height = count("height", 1),
                        .file = require_string(json, "file", where),
                        .sha256 = require_string(json, "sha256", where),
                        .has_nan = require_bool(json, "has_nan", where),
                        .black = require_bool(json, "black", where),
                        .constant = require_bool(json, "constant", where),
                        .psnr_db = {},
                        .ssim = optional_value(json, "ssim", where),
                        .flip = optional_value(json, "flip", where),
                        .latent_drift = require_samples(json, "latent_drift", where)};
  const Json* psnr = find_member(json, "psnr_db", where);
  if (psnr && *psnr == kIdentical) {
    picture.psnr_db = std::numeric_limits<double>::infinity();
  } else {
    picture.psnr_db = optional_value(json, "psnr_db", where);
  }
  return picture;
}

bool is_inside_run(std::string_view file) {
  const std::filesystem::path path(file);
  if (file.empty() || path.is_absolute() || file.find('\0') != std::string_view::npos) return false;
  return std::none_of(path.begin(), path.end(), [](const auto& part) { return part == ".."; });
}

}  // namespace fluxq

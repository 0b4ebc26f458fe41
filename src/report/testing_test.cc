#include "report/testing.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "base/sha256.h"
#include "bench/store.h"
#include "image/png.h"

namespace fluxq::report {
namespace {

// Even in -1..1, the same everywhere.
class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  double operator()() { return static_cast<double>(engine_() >> 11) * 0x1p-52 - 1; }

 private:
  std::mt19937_64 engine_;
};

struct Kind {
  std::string name;
  double step_ms;  // of one picture
  double flip;
  int64_t transformer_bytes;
};

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> kKinds = {{"bf16", 137.2, 0, 23'802'816'512},
                                           {"fp8dqrow", 98.4, 0.0192, 15'190'851'584},
                                           {"int8dq", 92.1, 0.0118, 15'190'851'584},
                                           {"int4wo", 141.5, 0.0671, 11'017'945'088},
                                           {"sparse24-int8dq", 71.3, 0.2844, 12'500'385'792}};
  return kKinds;
}

constexpr int kSteps = 4;

std::vector<double> scattered(double value, size_t count, Random& random) {
  std::vector<double> values(count);
  for (double& sample : values) sample = value * (1 + 0.005 * random());
  return values;
}

}  // namespace

Cell example_cell(const CellKey& key, double total_ms, int repeats, uint64_t seed) {
  Random random(seed);
  Cell cell;
  cell.key = key;
  cell.status = CellStatus::done;
  cell.attempts = 1;
  cell.warmups = 2;
  cell.load_ms = 9200;
  cell.quantize_ms = key.scheme == "bf16" ? 0 : 640;
  cell.cold_ms = 1.4 * total_ms;
  const auto count = static_cast<size_t>(repeats);
  cell.text_ms = scattered(0.04 * total_ms, count, random);
  cell.denoise_ms = scattered(0.9 * total_ms, count, random);
  cell.vae_ms = scattered(0.06 * total_ms, count, random);
  for (size_t i = 0; i < count; ++i)
    cell.total_ms.push_back(cell.text_ms[i] + cell.denoise_ms[i] + cell.vae_ms[i]);
  cell.step_ms = scattered(0.9 * total_ms / kSteps, count * kSteps, random);
  return cell;
}

PictureResult example_picture(const std::string& scheme, int prompt, uint64_t seed, double flip) {
  PictureResult picture;
  picture.scheme = scheme;
  picture.prompt = prompt;
  picture.seed = seed;
  picture.width = picture.height = 1024;
  picture.file = fmt::format("pictures/{}/{:03}-{}.png", scheme, prompt, seed);
  picture.sha256 = sha256_hex(picture.file);
  if (scheme == "bf16") return picture;
  picture.flip = flip;
  picture.psnr_db =
      flip > 0 ? -20 * std::log10(0.6 * flip) : std::numeric_limits<double>::infinity();
  picture.ssim = 1 - 0.9 * flip;
  for (int step = 1; step <= kSteps; ++step) picture.latent_drift.push_back(0.8 * flip * step);
  return picture;
}

Results example_results(int prompts, int seeds) {
  static const std::vector<std::string> kPrompts = {
      "a lighthouse at dusk, oil on canvas", "red apple", "guitar and violin",
      "a street market in the rain, 35 mm", "rocket on black"};
  Results results;
  Environment& environment = results.environment;
  environment = {.fluxq_version = "0.1.0",
                 .binary_sha256 = sha256_hex("binary"),
                 .build = "cuda, GCC 12.2, -O3",
                 .model_name = "FLUX.1-schnell",
                 .weights_sha256 = sha256_hex("weights"),
                 .variant = "schnell",
                 .synthetic = false,
                 .device = "cuda",
                 .device_name = "NVIDIA H100 80GB HBM3",
                 .driver = "580.65",
                 .cuda = "13.0",
                 .kernel = "Linux 6.1.0",
                 .os = "Debian GNU/Linux 12",
                 .isa = "avx512_core_amx",
                 .threads = 16,
                 .host_memory_bytes = 137'438'953'472,
                 .device_memory_bytes = 85'045'477'376,
                 .ceiling_flops = {{"bf16", 7.6e14}, {"s8", 1.4e15}, {"fp8", 1.4e15}},
                 .ceiling_bytes = 3.0e12,
                 .started = "2026-01-15T09:30:00Z"};
  Plan& plan = results.plan;
  plan.batches = {1, 4, 8, 16};
  plan.sizes = {{1024, 1024}};
  plan.steps = kSteps;
  plan.max_text_tokens = 256;
  plan.warmups = 2;
  plan.repeats = 8;
  for (int i = 0; i < prompts; ++i)
    plan.prompts.push_back(i < static_cast<int>(kPrompts.size()) ? kPrompts[i]
                                                                 : fmt::format("object {}", i));
  for (int i = 0; i < seeds; ++i) plan.seeds.push_back(static_cast<uint64_t>(i));
  results.noise_floor = NoiseFloor::f32_run;

  uint64_t stream = 1;
  for (const Kind& kind : kinds()) {
    plan.schemes.push_back(kind.name);
    for (const int batch : plan.batches) {
      const double total = kind.step_ms * kSteps / 0.9 * batch * (0.92 + 0.08 / batch);
      Cell cell = example_cell({kind.name, batch, 1024, 1024}, total, plan.repeats, stream++);
      cell.flops = 69.5e12 * kSteps * batch + 12.9e12;
      cell.weight_bytes_read = static_cast<double>(kind.transformer_bytes) * kSteps + 9.6e9;
      const int64_t weights = kind.transformer_bytes + 9'800'000'000;
      cell.part_bytes = {{"transformer", kind.transformer_bytes},
                         {"text_encoder", 246'144'000},
                         {"text_encoder_2", 9'386'000'000},
                         {"vae", 167'666'902}};
      cell.memory = {{"load", 3'100'000'000, weights + 90'000'000},
                     {"text", 2'900'000'000, weights + 300'000'000},
                     {"denoise", 2'900'000'000, weights + int64_t{620'000'000} * batch},
                     {"decode", 2'900'000'000, weights + int64_t{1'050'000'000} * batch}};
      cell.before.clock_mhz = 1980;
      cell.before.temperature_c = 41;
      cell.before.power_w = 118;
      cell.before.other_processes = 0;
      cell.after = cell.before;
      cell.after.clock_mhz = 1905;
      cell.after.temperature_c = 63;
      cell.after.power_w = 655;
      if (kind.name == "int4wo" && batch == 16) {
        const CellKey key = cell.key;
        cell = {};
        cell.key = key;
        cell.status = CellStatus::failed;
        cell.failure_code = "out_of_memory_device";
        cell.failure = "decode, batch 16: expected 17.2 GB free, got 12.9 GB";
        cell.attempts = 2;
        results.failures.push_back(
            {cell.key, 1, cell.failure_code, cell.failure, "2026-01-15T09:52:10Z"});
        results.failures.push_back(
            {cell.key, 2, cell.failure_code, cell.failure, "2026-01-15T09:53:40Z"});
      }
      results.cells.push_back(std::move(cell));
    }
  }

  Random random(99);
  const auto pictures = [&](const std::string& scheme, double flip) {
    for (int prompt = 0; prompt < prompts; ++prompt)
      for (int seed = 0; seed < seeds; ++seed)
        results.pictures.push_back(example_picture(scheme, prompt, static_cast<uint64_t>(seed),
                                                   flip * (1 + 0.3 * random())));
  };
  for (const Kind& kind : kinds()) pictures(kind.name, kind.flip);
  pictures("f32", 0.0058);
  for (PictureResult& picture : results.pictures) {
    if (picture.prompt != 1 || picture.seed != 0) continue;
    if (picture.scheme == "int8dq") {
      picture.psnr_db = std::numeric_limits<double>::infinity();
      picture.ssim = 1;
      picture.flip = 0;
    } else if (picture.scheme == "sparse24-int8dq") {
      picture.black = picture.constant = true;
      picture.psnr_db = picture.ssim = picture.flip = std::nullopt;
    }
  }
  for (int prompt = 0; prompt < prompts; ++prompt) {
    PictureResult picture = example_picture("seed", prompt, 1, 0.42 * (1 + 0.2 * random()));
    picture.scheme = "bf16";
    picture.latent_drift.clear();
    results.seed_change.push_back(picture);
  }
  return results;
}

void draw_pictures(Results& results, const std::filesystem::path& folder, int side) {
  std::vector<PictureResult*> all;
  for (PictureResult& picture : results.pictures) all.push_back(&picture);
  for (PictureResult& picture : results.seed_change) all.push_back(&picture);
  for (PictureResult* picture : all) {
    const double change = picture->flip.value_or(0);
    Random random(picture->seed * 1000 + static_cast<uint64_t>(picture->prompt));
    const double cx = 0.5 + 0.2 * random(), cy = 0.5 + 0.2 * random(),
                 radius = 0.28 + 0.08 * random();
    const double hue = 3 * random();
    Image image{side, side, std::vector<uint8_t>(static_cast<size_t>(side) * side * 3)};
    for (int y = 0; y < side; ++y)
      for (int x = 0; x < side; ++x) {
        const double u = (x + 0.5) / side - cx, v = (y + 0.5) / side - cy;
        const double wobble = change * 0.35 * std::sin(9 * u + 5 * hue) * std::cos(7 * v);
        const bool inside = std::hypot(u, v) < radius + wobble;
        for (int c = 0; c < 3; ++c) {
          const double shade = inside ? 0.5 + 0.45 * std::sin(hue + 2.1 * c + 3 * u)
                                      : 0.86 - 0.3 * (v + 0.5) + 0.05 * std::sin(40 * u + c);
          const double value = shade + change * 0.5 * std::sin(30 * u * v + c) + 0.01 * random();
          image.rgb[(static_cast<size_t>(y) * side + x) * 3 + c] =
              picture->black ? 0 : static_cast<uint8_t>(std::clamp(value, 0.0, 1.0) * 255);
        }
      }
    const std::filesystem::path path = folder / picture->file;
    std::filesystem::create_directories(path.parent_path());
    write_png(path, image);
    picture->sha256 = sha256_file(path, CancelToken());
  }
}

void store(const Results& results, const std::filesystem::path& folder) {
  Store store(folder);
  store.begin(results.environment, results.plan, results.noise_floor);
  for (const Cell& cell : results.cells)
    if (cell.status == CellStatus::done || cell.status == CellStatus::failed) store.save(cell);
  for (const PictureResult& picture : results.pictures) store.save(picture);
  for (const PictureResult& picture : results.seed_change) store.save_seed_change(picture);
  for (const Failure& failure : results.failures) store.save(failure);
}

}  // namespace fluxq::report

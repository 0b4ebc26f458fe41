/// Results as a run could have left them, for the tests of bench/ and report/.
#pragma once

#include <limits>

#include "bench/results.h"

namespace fluxq::testing {

inline Environment sample_environment() {
  return {.fluxq_version = "0.1.0",
          .binary_sha256 = std::string(64, 'b'),
          .build = "GCC 12.2",
          .model_name = "emoji-flux",
          .weights_sha256 = std::string(64, 'a'),
          .variant = "schnell",
          .synthetic = false,
          .device = "cpu",
          .device_name = "Some Processor",
          .driver = "",
          .cuda = "",
          .kernel = "Linux 6.1",
          .os = "Debian",
          .isa = "avx512_core_bf16",
          .threads = 2,
          .host_memory_bytes = int64_t{8} << 30,
          .device_memory_bytes = {},
          .ceiling_flops = {{"bf16", 1e12}, {"f32", 2e11}},
          .ceiling_bytes = 2e10,
          .started = "2025-01-02T03:04:05Z"};
}

inline Plan sample_plan() {
  return {.model = "emoji-flux",
          .schemes = {"bf16", "int8dq"},
          .batches = {1, 4},
          .sizes = {{64, 64}},
          .steps = 2,
          .guidance = 0,
          .max_text_tokens = 64,
          .prompts = {"red apple", "a \"quoted\" <b>prompt</b>\nof two lines \xF0\x9F\x8D\x95"},
          .seeds = {0, std::numeric_limits<uint64_t>::max()},
          .warmups = 1,
          .repeats = 3,
          .recipe = "",
          .attention = "bf16"};
}

inline Cell sample_cell(const CellKey& key) {
  Cell cell;
  cell.key = key;
  cell.status = CellStatus::done;
  cell.attempts = 1;
  cell.warmups = 1;
  cell.load_ms = 300.5;
  cell.quantize_ms = 12.25;
  cell.cold_ms = 99;
  cell.text_ms = {1, 2, 3};
  cell.denoise_ms = {10, 1.0 / 3, 12};
  cell.vae_ms = {5, 5, 5};
  cell.total_ms = {16, 18, 20};
  cell.step_ms = {5, 5, 6, 5, 6, 6};
  cell.memory = {{"load", 1'000'000, {}}, {"denoise", 2'000'000, 3'000'000}};
  cell.part_bytes = {{"transformer", 26'000'000}, {"vae", 8'000'000}};
  cell.flops = 1.25e10;
  cell.weight_bytes_read = 6e7;
  cell.before.clock_mhz = 2600;
  cell.before.load_average = 0.5;
  cell.after.clock_mhz = 2500;
  cell.after.temperature_c = 70;
  cell.after.power_w = 300;
  cell.after.other_processes = 1;
  cell.notes = {"clocks fell from 2600 to 2500 MHz"};
  return cell;
}

inline PictureResult sample_picture(const std::string& scheme, int prompt, uint64_t seed) {
  PictureResult picture{.scheme = scheme,
                        .prompt = prompt,
                        .seed = seed,
                        .width = 64,
                        .height = 64,
                        .file = "pictures/" + scheme + "/p0.png",
                        .sha256 = std::string(64, 'c'),
                        .psnr_db = {},
                        .ssim = {},
                        .flip = {},
                        .latent_drift = {}};
  if (scheme != "bf16") {
    picture.psnr_db = 41.5;
    picture.ssim = 0.99;
    picture.flip = 0.01;
    picture.latent_drift = {0.001, 0.25};
  }
  return picture;
}

}  // namespace fluxq::testing

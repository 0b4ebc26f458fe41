/// Times whole pictures of the bundled model, prompt to pixels in memory, and prints one JSON
/// object: what tools/compare_cpu.py sets beside diffusers. Usage: picture_times SCHEME REPEATS
/// THREADS [BATCH]
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "base/host_memory.h"
#include "base/json.h"
#include "pipeline/text_to_image.h"

int main(int argc, char** argv) {
  using namespace fluxq;
  if (argc < 4) {
    fmt::print(stderr, "usage: picture_times SCHEME REPEATS THREADS [BATCH]\n");
    return 2;
  }
  const int repeats = std::atoi(argv[2]), threads = std::atoi(argv[3]),
            batch = argc > 4 ? std::atoi(argv[4]) : 1;
  try {
    Progress progress;
    const CancelToken cancel;
    const auto begun = std::chrono::steady_clock::now();
    const std::unique_ptr<Kernels> kernels = make_cpu_kernels(threads);
    TextToImage pipeline(read_model_folder(FLUXQ_SOURCE_DIR "/models/emoji-flux", progress),
                         Recipe::standard(find_scheme(argv[1])), *kernels, progress, cancel);
    const double load_ms =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun).count();
    Request request{.prompt = "rocket and fox on a teal background",
                    .seeds = {},
                    .steps = 4,
                    .width = 256,
                    .height = 256,
                    .max_text_tokens = 64};
    for (int i = 0; i < batch; ++i) request.seeds.push_back(static_cast<uint64_t>(i));
    constexpr int kWarmups = 3;
    Json text = Json::array(), steps = Json::array(), vae = Json::array(), total = Json::array();
    for (int i = 0; i < kWarmups + repeats; ++i) {
      const StageTimes times = pipeline.run(request, progress, cancel).times;
      if (i < kWarmups) continue;
      text.push_back(times.text_ms);
      for (const double step : times.step_ms) steps.push_back(step);
      vae.push_back(times.vae_ms);
      total.push_back(times.total_ms);
    }
    const Json result = {{"scheme", argv[1]},
                         {"threads", threads},
                         {"batch", batch},
                         {"load_ms", load_ms},
                         {"text_ms", text},
                         {"step_ms", steps},
                         {"vae_ms", vae},
                         {"total_ms", total},
                         {"peak_mb", static_cast<double>(peak_memory_bytes()) / 1e6}};
    fmt::print("{}\n", result.dump());
    return 0;
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}

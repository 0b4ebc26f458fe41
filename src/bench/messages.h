/// What a run and its workers say to each other: one JSON object per line. The run gives one order
/// at a time; the worker answers with signs of life and at last with the result or a failure.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "bench/ceiling.h"
#include "bench/results.h"

namespace fluxq {

/// The longest line that is read.
inline constexpr size_t kMaxMessageBytes = 64 << 20;

/// The first order of a worker: load the plan's model under this scheme.
struct LoadOrder {
  std::string scheme, device;
  int threads = 1;
  std::filesystem::path run_folder;
  std::string weights_sha256;
  Plan plan;
};

/// The only order of the worker that looks at the machine for a run, which itself leaves the device
/// to its workers.
struct SurveyOrder {
  std::string device;
  int threads = 1;
  bool ceilings = true;  ///< to be measured
  Plan plan;
};

struct Survey {
  std::string memory;  ///< what each scheme needs for its largest cell, in lines for people
  NoiseFloor noise_floor = NoiseFloor::none;
  Ceilings ceilings = {};
};

/// Draw one picture of the quality part, and compare it with the baseline's.
struct PictureOrder {
  PictureResult what;        ///< scheme, prompt, seed, width, height
  bool seed_change = false;  ///< compare with the picture of the plan's first seed
};

struct Order {
  enum class Kind { load, cell, picture, survey } kind = Kind::load;
  LoadOrder load = {};
  CellKey cell = {};
  PictureOrder picture = {};
  SurveyOrder survey = {};
};

struct Answer {
  enum class Kind { beat, warning, ready, cell, picture, survey, failed } kind = Kind::beat;
  std::string text = {};  ///< of a beat (the phase), a warning, a failure
  std::string code = {};  ///< of a failure: ErrorInfo::name
  Cell cell = {};
  PictureResult picture = {};
  Survey survey = {};
};

/// One line, with its end.
std::string to_line(const Order& order);
std::string to_line(const Answer& answer);

// corrupt_file for anything else.

Order order_from(std::string_view line);
Answer answer_from(std::string_view line);

}  // namespace fluxq

/// What a run and its workers say to each other: one JSON object per line. The run gives one order
/// at a time; the worker answers with signs of life and at last with the result or a failure.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

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

/// Draw one picture of the quality part, and compare it with the baseline's.
struct PictureOrder {
  PictureResult what;        ///< scheme, prompt, seed, width, height
  bool seed_change = false;  ///< compare with the picture of the plan's first seed
};

struct Order {
  enum class Kind { load, cell, picture } kind = Kind::load;
  LoadOrder load = {};
  CellKey cell = {};
  PictureOrder picture = {};
};

struct Answer {
  enum class Kind { beat, warning, ready, cell, picture, failed } kind = Kind::beat;
  std::string text = {};  ///< of a beat (the phase), a warning, a failure
  std::string code = {};  ///< of a failure: ErrorInfo::name
  Cell cell = {};
  PictureResult picture = {};
};

/// One line, with its end.
std::string to_line(const Order& order);
std::string to_line(const Answer& answer);

// corrupt_file for anything else.

Order order_from(std::string_view line);
Answer answer_from(std::string_view line);

}  // namespace fluxq

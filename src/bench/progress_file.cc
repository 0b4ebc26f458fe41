#include "bench/progress_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/file.h"
#include "base/text.h"
#include "bench/plan.h"
#include "metrics/statistics.h"

namespace fluxq {
namespace {

/// Text from outside in Markdown: on one line, and nothing of it is markup.
std::string escaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (u < 0x20 || u == 0x7f) {
      out += ' ';
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '&') {
      out += "&amp;";
    } else {
      if (std::string_view("\\`*_[]|~").find(c) != std::string_view::npos) out += '\\';
      out += c;
    }
  }
  return is_utf8(out) ? out : in_quotes(text);
}

std::string duration(double seconds) {
  const auto whole = static_cast<int64_t>(std::ceil(seconds));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
}

std::string cell_name(const CellKey& key) {
  return fmt::format("{}, batch {}, {} x {}", key.scheme, key.batch, key.width, key.height);
}

/// Schemes with a cell that is done.
std::vector<std::string> measured_schemes(const Results& results) {
  std::vector<std::string> schemes;
  for (const Cell& cell : results.cells) {
    if (cell.status == CellStatus::done &&
        std::find(schemes.begin(), schemes.end(), cell.key.scheme) == schemes.end())
      schemes.push_back(cell.key.scheme);
  }
  return schemes;
}

std::string checklist(const Results& results, const RunState& state, const std::string& report) {
  const Environment& e = results.environment;
  const std::vector<std::string> schemes = measured_schemes(results);
  const auto quantized = std::count_if(schemes.begin(), schemes.end(), [](const auto& scheme) {
    return scheme != kBaseline && scheme != kExact;
  });
  std::vector<std::string> fp8;
  for (const std::string& scheme : schemes)
    if (scheme.starts_with("fp8")) fp8.push_back(scheme);
  const bool complete =
      state.cells_done + state.cells_failed == state.cells && state.pictures_done == state.pictures;
  const bool on_h100 = e.device == "cuda" && e.device_name.find("H100") != std::string::npos;
  std::string text;
  const auto item = [&](bool done, std::string_view name, const std::string& fact) {
    text += fmt::format("- [{}] {} ({})\n", done ? 'x' : ' ', name, escaped(fact));
  };
  item(true, "Environment setup",
       fmt::format("fluxq {}, model {}, {} with {} threads", e.fluxq_version, e.model_name,
                   e.device_name, e.threads));
  item(true, "TorchAO installed", "not needed, native: fluxq has the schemes itself");
  item(on_h100, "H100 compatibility verified",
       on_h100 ? fmt::format("{}, driver {}", e.device_name, e.driver)
               : fmt::format("this run is on the device {}: {}", e.device, e.device_name));
  item(!fp8.empty(), "FP8 quantization implemented",
       fp8.empty() ? "no cell of an fp8 scheme is done"
                   : fmt::format("measured: {}", fmt::join(fp8, ", ")));
  item(quantized >= 2, "Multiple schemes tested",
       schemes.empty() ? "none yet" : fmt::format("measured: {}", fmt::join(schemes, ", ")));
  item(complete, "Benchmarking completed",
       fmt::format("{} of {} cells done, {} failed; {} of {} pictures", state.cells_done,
                   state.cells, state.cells_failed, state.pictures_done, state.pictures));
  item(!report.empty(), "Results documented", report.empty() ? "no report yet" : report);
  return text;
}

std::string cell_table(const Results& results) {
  std::string text = "| cell | status | median per run | repeats |\n|---|---|---:|---:|\n";
  for (const Cell& cell : results.cells) {
    const bool done = cell.status == CellStatus::done && !cell.total_ms.empty();
    text += fmt::format("| {} | {} | {} | {} |\n", escaped(cell_name(cell.key)),
                        done                                ? "done"
                        : cell.status == CellStatus::failed ? "failed"
                                                            : "open",
                        done ? fmt::format("{:.1f} ms", median(cell.total_ms)) : "",
                        done ? fmt::format("{}", cell.total_ms.size()) : "");
  }
  return text;
}

}  // namespace

std::string progress_text(const Results& results, const RunState& state, const std::string& stopped,
                          const std::string& report) {
  const bool complete = state.running.empty() && stopped.empty();
  std::string text = "# Progress: TorchAO Quantization Optimization\n\n";
  // 100 % only when nothing is left.
  text += fmt::format("## Overall Progress: {}%\n\n",
                      complete ? 100 : std::min(99, static_cast<int>(state.share * 100)));
  text += "### Completed Tasks:\n" + checklist(results, state, report) + "\n";

  text += "### Current Status:\n";
  if (!stopped.empty()) {
    text += fmt::format("Stopped: {}\n", escaped(stopped));
  } else if (complete) {
    text += "Nothing is running: the plan has been worked through.\n";
  } else {
    text += fmt::format("Running: {}. Time left: {}.\n", escaped(state.running),
                        state.seconds_left ? "about " + duration(*state.seconds_left)
                                           : "not known before the first cell is done");
  }
  text += fmt::format("Done: {} of {} cells and {} of {} pictures; failed: {} cells.\n\n",
                      state.cells_done, state.cells, state.pictures_done, state.pictures,
                      state.cells_failed);
  text += cell_table(results) + "\n";

  text += "### Issues/Blockers:\n";
  std::string issues;
  for (const Cell& cell : results.cells) {
    if (cell.status == CellStatus::failed)
      issues += fmt::format("- {} failed after {} attempts: {}: {}\n", escaped(cell_name(cell.key)),
                            cell.attempts, escaped(cell.failure_code), escaped(cell.failure));
    for (const std::string& note : cell.notes)
      issues += fmt::format("- {}: {}\n", escaped(cell_name(cell.key)), escaped(note));
  }
  for (const Failure& failure : results.failures) {
    issues += fmt::format("- attempt {} at {}, {}: {}: {}\n", failure.attempt,
                          escaped(cell_name(failure.key)), failure.time, escaped(failure.code),
                          escaped(failure.sentence));
  }
  for (const AcceptedChange& change : results.accepted_changes) {
    issues += fmt::format("- accepted at {}: {} was {}, is {}\n", change.time, escaped(change.what),
                          escaped(change.before), escaped(change.after));
  }
  text += (issues.empty() ? "None.\n" : issues) + "\n";

  text += "### Next Steps:\n";
  if (!stopped.empty()) {
    text += "- Run `fluxq bench -o` with this folder again: it goes on where it stopped.\n";
  } else if (!complete) {
    if (!state.next.empty()) text += fmt::format("- Next: {}.\n", escaped(state.next));
    text += "- Then the report.\n";
  } else {
    if (state.cells_failed > 0)
      text += "- Run `fluxq bench -o` with this folder again: it tries failed cells again.\n";
    text += report.empty() ? "- Write the report: `fluxq report` with this folder.\n"
                           : fmt::format("- Read {}.\n", escaped(report));
  }
  return text;
}

void write_progress(const std::filesystem::path& run_folder, const Results& results,
                    const RunState& state, const std::string& stopped, const std::string& report) {
  atomic_write(run_folder / "progress.md", progress_text(results, state, stopped, report));
}

}  // namespace fluxq

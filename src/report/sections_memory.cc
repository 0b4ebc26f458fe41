/// Memory, and what the batch size does to time and memory.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "report/chart.h"
#include "report/numbers.h"
#include "report/sections.h"

namespace fluxq::report {
namespace {

std::vector<const CellSummary*> with_memory(const Analysis& analysis) {
  std::vector<const CellSummary*> cells;
  for (const CellSummary& cell : analysis.cells)
    if (cell.memory) cells.push_back(&cell);
  return cells;
}

TableCell saved_cell(const std::optional<double>& percent) {
  if (!percent) return absent();
  return {show_percent(*percent), "", *percent <= -1 ? Tone::bad : Tone::plain};
}

Table peak_table(const Analysis& analysis, const std::vector<const CellSummary*>& cells) {
  Table table;
  table.caption = fmt::format("Peak memory of the {}; saved is against bf16 at the same batch",
                              cells.front()->memory->on_device ? "device" : "host");
  table.columns = {{"Scheme, batch", false}, {"Peak", true},  {"Saved", true},
                   {"While serving", true},  {"Saved", true}, {"Weights", true},
                   {"Host peak", true}};
  std::vector<double> bytes;
  for (const CellSummary* cell : cells)
    bytes.push_back(static_cast<double>(cell->memory->peak_bytes));
  const Unit unit = byte_unit(bytes);
  const auto size_cell = [&](int64_t value) {
    return value > 0 ? TableCell{unit.show(static_cast<double>(value)), "", Tone::plain} : absent();
  };
  for (const CellSummary* cell : cells) {
    const MemoryUse& use = *cell->memory;
    table.rows.push_back({{cell_name(analysis, cell->cell->key), "", Tone::plain},
                          size_cell(use.peak_bytes),
                          saved_cell(use.saved_percent),
                          size_cell(use.serving_bytes),
                          saved_cell(use.serving_percent),
                          size_cell(use.weight_bytes),
                          size_cell(use.host_peak_bytes)});
  }
  return table;
}

// In order of first appearance, which is the order of a run.
std::vector<std::string> phases_of(const std::vector<const CellSummary*>& cells) {
  std::vector<std::string> phases;
  for (const CellSummary* cell : cells)
    for (const PhaseMemory& phase : cell->cell->memory)
      if (std::find(phases.begin(), phases.end(), phase.phase) == phases.end())
        phases.push_back(phase.phase);
  return phases;
}

Table phase_table(const Analysis& analysis, const std::vector<const CellSummary*>& cells) {
  Table table;
  table.caption = "Peak of each phase";
  table.columns = {{"Scheme, batch", false}};
  const std::vector<std::string> phases = phases_of(cells);
  std::vector<double> bytes;
  for (const std::string& phase : phases) table.columns.push_back({phase, true});
  const auto peak_of = [](const CellSummary& cell,
                          const std::string& name) -> std::optional<int64_t> {
    for (const PhaseMemory& phase : cell.cell->memory)
      if (phase.phase == name)
        return cell.memory->on_device ? phase.device_peak_bytes : phase.host_peak_bytes;
    return std::nullopt;
  };
  for (const CellSummary* cell : cells)
    for (const std::string& phase : phases)
      bytes.push_back(static_cast<double>(peak_of(*cell, phase).value_or(0)));
  const Unit unit = byte_unit(bytes);
  for (const CellSummary* cell : cells) {
    std::vector<TableCell> row = {{cell_name(analysis, cell->cell->key), "", Tone::plain}};
    for (const std::string& phase : phases) {
      const auto peak = peak_of(*cell, phase);
      row.push_back(peak ? TableCell{unit.show(static_cast<double>(*peak)), "", Tone::plain}
                         : absent());
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

// Of each scheme's first cell: weights do not depend on the batch.
Table part_table(const std::vector<const CellSummary*>& cells) {
  Table table;
  table.caption = "Resident weights of each part";
  table.columns = {{"Scheme", false}};
  std::set<std::string> parts, schemes;
  std::vector<double> bytes;
  for (const CellSummary* cell : cells)
    for (const auto& [part, size] : cell->cell->part_bytes) {
      parts.insert(part);
      bytes.push_back(static_cast<double>(size));
    }
  const Unit unit = byte_unit(bytes);
  for (const std::string& part : parts) table.columns.push_back({part, true});
  table.columns.push_back({"All", true});
  for (const CellSummary* cell : cells) {
    if (cell->cell->part_bytes.empty() || !schemes.insert(cell->cell->key.scheme).second) continue;
    std::vector<TableCell> row = {{cell->cell->key.scheme, "", Tone::plain}};
    for (const std::string& part : parts) {
      const auto found = cell->cell->part_bytes.find(part);
      row.push_back(
          found == cell->cell->part_bytes.end()
              ? absent()
              : TableCell{unit.show(static_cast<double>(found->second)), "", Tone::plain});
    }
    row.push_back({unit.show(static_cast<double>(cell->memory->weight_bytes)), "", Tone::plain});
    table.rows.push_back(std::move(row));
  }
  return table;
}

// One series per scheme: `value` of each of its cells at the plan's first size.
template <typename Value>
std::vector<Series> series_by_batch(const Analysis& analysis, const Value& value) {
  std::vector<Series> all;
  const auto size = analysis.results->plan.sizes.front();
  for (const std::string& scheme : analysis.results->plan.schemes) {
    Series series{scheme, style_of(analysis, scheme), {}};
    for (const CellSummary& cell : analysis.cells) {
      const CellKey& key = cell.cell->key;
      if (key.scheme != scheme || std::pair(key.width, key.height) != size) continue;
      if (std::optional<ChartPoint> point = value(cell)) series.points.push_back(*point);
    }
    if (!series.points.empty()) all.push_back(std::move(series));
  }
  return all;
}

std::optional<ChartPoint> time_point(const CellSummary& cell) {
  if (!cell.per_picture_ms) return std::nullopt;
  const double batch = cell.cell->key.batch;
  return ChartPoint{
      batch,
      *cell.per_picture_ms / 1000,
      {},
      Interval{cell.total->middle.lo / batch / 1000, cell.total->middle.hi / batch / 1000}};
}

std::optional<ChartPoint> memory_point(const CellSummary& cell) {
  if (!cell.memory) return std::nullopt;
  return ChartPoint{static_cast<double>(cell.cell->key.batch),
                    static_cast<double>(cell.memory->peak_bytes) / 1e9,
                    {},
                    {}};
}

Table gain_table(const Analysis& analysis) {
  Table table;
  table.caption = "Time per picture, and how it differs from that at the smallest batch";
  table.columns = {{"Scheme", false}};
  const Plan& plan = analysis.results->plan;
  for (const int batch : plan.batches)
    table.columns.push_back({fmt::format("Batch {}", batch), true});
  std::vector<double> times;
  for (const CellSummary& cell : analysis.cells)
    if (cell.per_picture_ms) times.push_back(*cell.per_picture_ms);
  const Unit unit = time_unit(times);
  const auto [width, height] = plan.sizes.front();
  for (const std::string& scheme : plan.schemes) {
    std::vector<TableCell> row = {{scheme, "", Tone::plain}};
    const CellSummary* first = analysis.find({scheme, plan.batches.front(), width, height});
    for (const int batch : plan.batches) {
      const CellSummary* cell = analysis.find({scheme, batch, width, height});
      if (cell == nullptr || !cell->per_picture_ms) {
        row.push_back(absent());
        continue;
      }
      TableCell shown{unit.show(*cell->per_picture_ms), "", Tone::plain};
      if (cell != first && first != nullptr && first->per_picture_ms) {
        const double change = 100 * (*cell->per_picture_ms / *first->per_picture_ms - 1);
        shown.detail = fmt::format("{}{}", change > 0 ? "+" : "", show_percent(change));
      }
      row.push_back(std::move(shown));
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

}  // namespace

Section memory_section(const Analysis& analysis) {
  Section section{"memory", "Memory comparison", {}};
  const std::vector<const CellSummary*> cells = with_memory(analysis);
  if (cells.empty()) {
    section.blocks.push_back(Paragraph{"No cell has memory figures.", Tone::quiet});
    return section;
  }
  section.blocks.push_back(Paragraph{
      "The peak includes loading and quantizing: it is what the machine must have. While serving "
      "is the peak of text encoding, denoising and decoding. Sizes are in powers of 1000."});
  section.blocks.push_back(peak_table(analysis, cells));
  section.blocks.push_back(phase_table(analysis, cells));
  Table parts = part_table(cells);
  if (!parts.rows.empty()) section.blocks.push_back(std::move(parts));
  return section;
}

Section scaling_section(const Analysis& analysis) {
  Section section{"scaling", "Batch scaling", {}};
  const Plan& plan = analysis.results->plan;
  if (plan.batches.size() < 2 || plan.sizes.empty()) {
    section.blocks.push_back(Paragraph{"The run has one batch size only.", Tone::quiet});
    return section;
  }
  Axis batches{"batch", Axis::Scale::log, false, {}};
  for (const int batch : plan.batches) batches.ticks.push_back(batch);
  ChartSpec time{"batch-time",
                 "Time per picture by batch size",
                 "Seconds per picture of each scheme, by batch size; the figures are in the table "
                 "below.",
                 batches,
                 {"seconds per picture", Axis::Scale::linear, true, {}},
                 series_by_batch(analysis, time_point)};
  ChartSpec memory{"batch-memory",
                   "Peak memory by batch size",
                   "Gigabytes at the peak of each scheme, by batch size; the figures are in the "
                   "memory comparison.",
                   batches,
                   {"peak memory, GB", Axis::Scale::linear, true, {}},
                   series_by_batch(analysis, memory_point)};
  Charts charts;
  for (const ChartSpec* spec : {&time, &memory})
    if (!spec->series.empty()) charts.charts.push_back(draw_chart(*spec));
  if (!charts.charts.empty()) section.blocks.push_back(std::move(charts));
  section.blocks.push_back(gain_table(analysis));
  return section;
}

}  // namespace fluxq::report

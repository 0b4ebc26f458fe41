/// Time: what a run takes, where it goes, and how much of the machine it uses.
#include <fmt/format.h>

#include <algorithm>

#include "report/json.h"
#include "report/numbers.h"
#include "report/sections.h"

namespace fluxq::report {
namespace {

using Cells = std::vector<const CellSummary*>;

// Of cells that have it: the medians of one phase.
Unit unit_of(const Cells& cells, std::optional<Summary> CellSummary::*phase) {
  std::vector<double> medians;
  for (const CellSummary* cell : cells)
    if (cell->*phase) medians.push_back((cell->*phase)->median);
  return time_unit(medians);
}

TableCell median_cell(const std::optional<Summary>& summary, const Unit& unit) {
  if (!summary) return absent();
  return {unit.show(summary->median), unit.show(summary->middle), Tone::plain};
}

TableCell estimate_cell(const Estimate& estimate, std::string text, int decimals) {
  return {std::move(text), estimate.interval ? range(*estimate.interval, decimals) : "no interval",
          Tone::plain};
}

TableCell verdict_cell(const CellSummary& cell) {
  if (cell.is_baseline) return {"baseline", "", Tone::quiet};
  if (!cell.time_ratio) return absent();
  const Tone tone = cell.time_ratio->verdict == Verdict::better  ? Tone::good
                    : cell.time_ratio->verdict == Verdict::worse ? Tone::bad
                                                                 : Tone::quiet;
  return {std::string(verdict_name(*cell.time_ratio)), "", tone};
}

std::vector<TableCell> undone_row(const CellSummary& cell, size_t columns) {
  const bool failed = cell.cell->status == CellStatus::failed;
  std::vector<TableCell> row(columns, absent());
  row[0] = {cell.cell->key.scheme, "", Tone::plain};
  row[1] = failed ? TableCell{"failed", cell.cell->failure_code, Tone::bad}
                  : TableCell{cell.cell->status == CellStatus::done ? "no samples" : "not yet", "",
                              Tone::quiet};
  return row;
}

Table time_table(const Cells& cells, const CellKey& key) {
  Table table;
  int64_t least = INT64_MAX, most = 0;
  for (const CellSummary* cell : cells)
    if (cell->total) {
      least = std::min(least, cell->total->count);
      most = std::max(most, cell->total->count);
    }
  table.caption = fmt::format("{} × {} pixels, batch {}", key.width, key.height, key.batch);
  if (most > 0)
    table.caption +=
        fmt::format("; medians of {} runs, with their middle half",
                    least == most ? fmt::format("{}", most) : fmt::format("{} to {}", least, most));
  table.columns = {{"Scheme", false},      {"Time per run", true}, {"Per picture", true},
                   {"Pictures/s", true},   {"Speed-up", true},     {"Latency reduction", true},
                   {"Against bf16", false}};
  const Unit unit = unit_of(cells, &CellSummary::total);
  std::vector<double> per_picture;
  for (const CellSummary* cell : cells)
    if (cell->per_picture_ms) per_picture.push_back(*cell->per_picture_ms);
  const Unit picture_unit = time_unit(per_picture);
  for (const CellSummary* cell : cells) {
    if (!cell->total) {
      table.rows.push_back(undone_row(*cell, table.columns.size()));
      continue;
    }
    std::vector<TableCell> row = {{cell->cell->key.scheme, "", Tone::plain},
                                  median_cell(cell->total, unit),
                                  {picture_unit.show(*cell->per_picture_ms), "", Tone::plain},
                                  {fixed(*cell->pictures_per_second, 3), "", Tone::plain},
                                  absent(),
                                  absent(),
                                  verdict_cell(*cell)};
    if (cell->time_ratio) {
      const Estimate factor = speedup(*cell->time_ratio),
                     saved = latency_reduction(*cell->time_ratio);
      row[4] = estimate_cell(factor, show_times(factor.value), 2);
      row[5] = estimate_cell(saved, show_percent(saved.value), 1);
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

Table phase_table(const Analysis& analysis, const Cells& cells) {
  Table table;
  table.caption =
      "Where the time goes: medians, with their middle half; cold is the first run of the process";
  table.columns = {{"Scheme, batch", false},
                   {"Text", true},
                   {"Per step", true},
                   {"All steps", true},
                   {"VAE", true},
                   {"Cold", true},
                   {"Load", true},
                   {"of it, quantize", true}};
  const Unit text = unit_of(cells, &CellSummary::text), step = unit_of(cells, &CellSummary::step),
             denoise = unit_of(cells, &CellSummary::denoise),
             vae = unit_of(cells, &CellSummary::vae);
  std::vector<double> cold, load, quantize;
  for (const CellSummary* cell : cells)
    if (cell->total) {
      cold.push_back(cell->cell->cold_ms);
      load.push_back(cell->cell->load_ms);
      quantize.push_back(cell->cell->quantize_ms);
    }
  const auto once = [](double ms, const std::vector<double>& all) {
    return ms > 0 ? TableCell{time_unit(all).show(ms), "", Tone::plain} : absent();
  };
  for (const CellSummary* cell : cells)
    if (cell->total)
      table.rows.push_back({{cell_name(analysis, cell->cell->key), "", Tone::plain},
                            median_cell(cell->text, text),
                            median_cell(cell->step, step),
                            median_cell(cell->denoise, denoise),
                            median_cell(cell->vae, vae),
                            once(cell->cell->cold_ms, cold),
                            once(cell->cell->load_ms, load),
                            once(cell->cell->quantize_ms, quantize)});
  return table;
}

TableCell share_cell(const std::optional<Rate>& rate) {
  if (!rate || !rate->share) return absent();
  return {show_percent(100 * *rate->share), "of " + rate->ceiling, Tone::plain};
}

Table rate_table(const Analysis& analysis, const Cells& cells) {
  Table table;
  table.caption =
      "Achieved rates over the whole run, and their share of the ceiling measured at its start";
  table.columns = {{"Scheme, batch", false}, {"Work per run", true}, {"Arithmetic", true},
                   {"Share", true},          {"Weights read", true}, {"Bandwidth", true},
                   {"Share", true}};
  std::vector<double> rates, bandwidths, bytes, work;
  for (const CellSummary* cell : cells) {
    if (cell->flops) {
      rates.push_back(cell->flops->value);
      work.push_back(cell->cell->flops);
    }
    if (cell->bandwidth) {
      bandwidths.push_back(cell->bandwidth->value);
      bytes.push_back(cell->cell->weight_bytes_read);
    }
  }
  const Unit rate_unit = flops_unit(rates), bandwidth_unit = byte_unit(bandwidths),
             bytes_unit = byte_unit(bytes), work_unit = flop_unit(work);
  for (const CellSummary* cell : cells) {
    if (!cell->flops && !cell->bandwidth) continue;
    std::vector<TableCell> row(7, absent());
    row[0] = {cell_name(analysis, cell->cell->key), "", Tone::plain};
    if (cell->flops) {
      row[1] = {work_unit.show(cell->cell->flops), "", Tone::plain};
      row[2] = {rate_unit.show(cell->flops->value), "", Tone::plain};
      row[3] = share_cell(cell->flops);
    }
    if (cell->bandwidth) {
      row[4] = {bytes_unit.show(cell->cell->weight_bytes_read), "", Tone::plain};
      row[5] = {bandwidth_unit.show(cell->bandwidth->value) + "/s", "", Tone::plain};
      row[6] = share_cell(cell->bandwidth);
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

}  // namespace

Section performance_section(const Analysis& analysis) {
  Section section{"performance", "Performance matrix", {}};
  if (analysis.cells.empty()) {
    section.blocks.push_back(Paragraph{"The run has no cells.", Tone::quiet});
    return section;
  }
  section.blocks.push_back(Paragraph{
      "Speed-up is bf16's time divided by the scheme's: 2× is twice as fast. Latency reduction is "
      "the share of bf16's time that is saved: 50 % is twice as fast. Both come from the same "
      "medians, with 95 % intervals; faster and slower are said only where the interval excludes "
      "no difference."});
  Cells all;
  for (const CellSummary& cell : analysis.cells) all.push_back(&cell);
  const Plan& plan = analysis.results->plan;
  for (const auto& [width, height] : plan.sizes)
    for (const int batch : plan.batches) {
      Cells cells;
      std::copy_if(all.begin(), all.end(), std::back_inserter(cells), [&](const CellSummary* cell) {
        const CellKey& key = cell->cell->key;
        return key.batch == batch && key.width == width && key.height == height;
      });
      if (!cells.empty()) section.blocks.push_back(time_table(cells, cells.front()->cell->key));
    }
  if (std::none_of(all.begin(), all.end(),
                   [](const auto* cell) { return cell->total.has_value(); }))
    return section;
  section.blocks.push_back(Heading{"Phases"});
  section.blocks.push_back(phase_table(analysis, all));
  Table rates = rate_table(analysis, all);
  if (!rates.rows.empty()) {
    section.blocks.push_back(Heading{"Use of the machine"});
    section.blocks.push_back(std::move(rates));
  }
  return section;
}

}  // namespace fluxq::report

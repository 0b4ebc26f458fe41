#include "report/csv.h"

#include <fmt/format.h>

#include <cmath>

#include "bench/results_json.h"
#include "report/json.h"
#include "report/markup.h"

namespace fluxq::report {
namespace {

// A line as pairs of name and value, so that header and rows cannot part.
class Row {
 public:
  void text(std::string_view name, std::string_view value) { add(name, csv_field(value)); }
  void integer(std::string_view name, std::optional<int64_t> value) {
    add(name, value ? fmt::format("{}", *value) : "");
  }
  void number(std::string_view name, std::optional<double> value) {
    add(name, value && std::isfinite(*value) ? fmt::format("{}", *value) : "");
  }
  void estimate(const std::string& name, const std::optional<Estimate>& estimate) {
    const bool known = estimate && estimate->interval;
    number(name, estimate ? std::optional(estimate->value) : std::nullopt);
    number(name + "_lo", known ? std::optional(estimate->interval->lo) : std::nullopt);
    number(name + "_hi", known ? std::optional(estimate->interval->hi) : std::nullopt);
  }
  void summary(const std::string& name, const std::optional<Summary>& summary) {
    number(name + "_median", summary ? std::optional(summary->median) : std::nullopt);
    number(name + "_q25", summary ? std::optional(summary->middle.lo) : std::nullopt);
    number(name + "_q75", summary ? std::optional(summary->middle.hi) : std::nullopt);
  }

  std::string header, line;

 private:
  void add(std::string_view name, const std::string& field) {
    if (!header.empty()) {
      header += ',';
      line += ',';
    }
    header += name;
    line += field;
  }
};

void add_quality(Row& row, const SchemeQuality* quality) {
  static const SchemeQuality kNone;
  const SchemeQuality& figures = quality == nullptr ? kNone : *quality;
  row.estimate("quality_loss_percent", figures.loss_percent);
  if (!figures.psnr_db && figures.identical > 0) {
    row.text("psnr_db", "identical");
  } else {
    row.number("psnr_db", figures.psnr_db ? std::optional(figures.psnr_db->value) : std::nullopt);
  }
  row.number("ssim", figures.ssim ? std::optional(figures.ssim->value) : std::nullopt);
  row.number("flip", figures.flip ? std::optional(figures.flip->value) : std::nullopt);
  const auto count = [&](int64_t value) {
    return quality == nullptr ? std::nullopt : std::optional(value);
  };
  row.integer("pictures", count(figures.pictures));
  row.integer("pictures_identical", count(figures.identical));
  row.integer("pictures_flagged", count(figures.flagged));
}

Row row_of(const CellSummary& summary, const Analysis& analysis) {
  const Cell& cell = *summary.cell;
  Row row;
  row.text("scheme", cell.key.scheme);
  row.integer("batch", cell.key.batch);
  row.integer("width", cell.key.width);
  row.integer("height", cell.key.height);
  row.text("status", to_string(cell.status));
  row.text("failure", cell.failure);
  row.integer("runs", summary.total ? summary.total->count : 0);
  row.summary("total_ms", summary.total);
  row.number("per_picture_ms", summary.per_picture_ms);
  row.number("pictures_per_second", summary.pictures_per_second);
  const auto& ratio = summary.time_ratio;
  row.estimate("speedup", ratio ? std::optional(speedup(*ratio)) : std::nullopt);
  row.estimate("latency_reduction_percent",
               ratio ? std::optional(latency_reduction(*ratio)) : std::nullopt);
  row.text("against_bf16", ratio ? verdict_name(*ratio) : "");
  row.summary("text_ms", summary.text);
  row.summary("step_ms", summary.step);
  row.summary("denoise_ms", summary.denoise);
  row.summary("vae_ms", summary.vae);
  const bool done = summary.total.has_value();
  row.number("cold_ms", done ? std::optional(cell.cold_ms) : std::nullopt);
  row.number("load_ms", done ? std::optional(cell.load_ms) : std::nullopt);
  row.number("quantize_ms", done ? std::optional(cell.quantize_ms) : std::nullopt);
  const auto rate = [&](const std::string& name, const std::optional<Rate>& value) {
    row.number(name + "_per_second", value ? std::optional(value->value) : std::nullopt);
    row.number(name + "_share", value ? value->share : std::nullopt);
    row.text(name + "_ceiling", value ? value->ceiling : "");
  };
  rate("flops", summary.flops);
  rate("bytes", summary.bandwidth);
  const auto& memory = summary.memory;
  row.integer("peak_bytes", memory ? std::optional(memory->peak_bytes) : std::nullopt);
  row.number("memory_saved_percent", memory ? memory->saved_percent : std::nullopt);
  row.integer("serving_peak_bytes", memory ? std::optional(memory->serving_bytes) : std::nullopt);
  row.integer("weight_bytes", memory ? std::optional(memory->weight_bytes) : std::nullopt);
  row.integer("host_peak_bytes", memory ? std::optional(memory->host_peak_bytes) : std::nullopt);
  add_quality(row, analysis.find_quality(cell.key.scheme));
  return row;
}

}  // namespace

std::string matrix_csv(const Analysis& analysis) {
  static const Cell kEmpty;
  CellSummary none;
  none.cell = &kEmpty;
  std::string csv = row_of(none, analysis).header + "\r\n";
  for (const CellSummary& cell : analysis.cells) csv += row_of(cell, analysis).line + "\r\n";
  return csv;
}

}  // namespace fluxq::report

/// Pictures: how far they are from bf16's, what that buys, and where in the sampling it arises.
#include <fmt/format.h>

#include <algorithm>

#include "report/chart.h"
#include "report/numbers.h"
#include "report/sections.h"
#include "report/targets.h"

namespace fluxq::report {
namespace {

TableCell estimate_cell(const std::optional<Estimate>& estimate, int decimals,
                        std::string_view unit) {
  if (!estimate) return absent();
  return {fixed(estimate->value, decimals) + std::string(unit),
          estimate->interval ? range(*estimate->interval, decimals) : "no interval", Tone::plain};
}

std::string flags_text(const SchemeQuality& quality) {
  if (quality.flagged == 0) return "";
  std::string text;
  for (const auto& [count, name] :
       {std::pair(quality.has_nan, "NaN"), std::pair(quality.black, "black"),
        std::pair(quality.constant, "constant")})
    if (count > 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, name);
  return text;
}

TableCell floor_cell(const SchemeQuality& quality, const Analysis& analysis) {
  if (!quality.above_floor || !quality.above_floor->effect || !quality.flip) return absent();
  const double floor = analysis.noise_floor->flip->value;
  const bool worse = quality.above_floor->verdict == Verdict::worse;
  std::string text = floor > 0 ? show_times(quality.flip->value / floor, 1) : "–";
  return {std::move(text),
          worse ? "worse than the floor" : std::string(to_string(quality.above_floor->verdict)),
          Tone::plain};
}

std::vector<TableCell> quality_row(const SchemeQuality& quality, std::string name,
                                   const Analysis& analysis) {
  TableCell psnr = estimate_cell(quality.psnr_db, 2, " dB");
  if (!quality.psnr_db && quality.identical > 0) psnr = {"identical", "", Tone::plain};
  TableCell pictures{fmt::format("{}", quality.pictures), "", Tone::plain};
  if (quality.identical > 0) pictures.detail = fmt::format("{} identical", quality.identical);
  TableCell flagged{fmt::format("{}", quality.flagged), flags_text(quality),
                    quality.flagged > 0 ? Tone::bad : Tone::plain};
  return {{std::move(name), "", Tone::plain},
          estimate_cell(quality.loss_percent, 2, " %"),
          floor_cell(quality, analysis),
          std::move(psnr),
          estimate_cell(quality.ssim, 4, ""),
          estimate_cell(quality.flip, 4, ""),
          std::move(pictures),
          std::move(flagged)};
}

std::string floor_name(const Analysis& analysis) {
  return analysis.results->noise_floor == NoiseFloor::f32_run
             ? "Noise floor: bf16 against f32"
             : "Noise floor: bf16 by second kernels";
}

Table quality_table(const Analysis& analysis) {
  Table table;
  table.caption =
      "Means over prompts and seeds against bf16 from the same noise, with 95 % intervals";
  table.columns = {{"Scheme", false},  {"Quality loss", true}, {"Of noise floor", true},
                   {"PSNR", true},     {"SSIM", true},         {"FLIP", true},
                   {"Pictures", true}, {"Flagged", true}};
  for (const SchemeQuality& quality : analysis.quality)
    table.rows.push_back(quality_row(quality, quality.scheme, analysis));
  if (analysis.noise_floor)
    table.rows.push_back(quality_row(*analysis.noise_floor, floor_name(analysis), analysis));
  if (analysis.seed_change)
    table.rows.push_back(quality_row(*analysis.seed_change, "Another seed", analysis));
  return table;
}

Chart tradeoff_chart(const Analysis& analysis, const CellKey& key) {
  ChartSpec spec;
  spec.name = "quality-speed";
  spec.title = fmt::format("Quality loss against time per picture, batch {}", key.batch);
  spec.description =
      "Each scheme's quality loss in percent against its seconds per picture; lower left is "
      "better. "
      "The figures are in the tables.";
  spec.x = {"seconds per picture", Axis::Scale::linear, true, {}};
  spec.y = {"quality loss, %", Axis::Scale::log, false, {}};
  spec.connect = false;
  spec.frontier = true;
  for (const std::string& scheme : analysis.results->plan.schemes) {
    CellKey at = key;
    at.scheme = scheme;
    const CellSummary* cell = analysis.find(at);
    if (cell == nullptr || !cell->per_picture_ms) continue;
    const bool is_baseline = scheme == kBaseline;
    const SchemeQuality* quality = is_baseline
                                       ? (analysis.noise_floor ? &*analysis.noise_floor : nullptr)
                                       : analysis.find_quality(scheme);
    if (quality == nullptr || !quality->loss_percent) continue;
    const double batch = key.batch;
    spec.series.push_back(
        {is_baseline ? "bf16 (noise floor)" : scheme,
         style_of(analysis, scheme),
         {{*cell->per_picture_ms / 1000, quality->loss_percent->value,
           Interval{cell->total->middle.lo / batch / 1000, cell->total->middle.hi / batch / 1000},
           quality->loss_percent->interval}}});
  }
  spec.lines = {{kTargetLossPercent, "limit of the plan"}};
  return draw_chart(spec);
}

}  // namespace

Section tradeoff_section(const Analysis& analysis) {
  Section section{"quality", "Quality against speed", {}};
  const std::string reason = no_quality_reason(analysis);
  if (!reason.empty()) {
    section.blocks.push_back(Paragraph{reason, Tone::quiet});
    return section;
  }
  section.blocks.push_back(Paragraph{
      "Quality loss is 100 × the mean FLIP error against bf16's picture from the same noise: 0 is "
      "the same picture, 5 % is the plan's limit. It says how much pictures change, not whether "
      "they are better or worse."});
  const Plan& plan = analysis.results->plan;
  if (!plan.batches.empty() && !plan.sizes.empty()) {
    const int batch = *std::min_element(plan.batches.begin(), plan.batches.end());
    const auto [width, height] = plan.sizes.front();
    section.blocks.push_back(Charts{{tradeoff_chart(analysis, {"", batch, width, height})}});
  }
  section.blocks.push_back(quality_table(analysis));
  if (!analysis.noise_floor)
    section.blocks.push_back(Paragraph{
        "This run has no noise floor: what bf16 itself costs is not known.", Tone::quiet});
  return section;
}

Section pictures_section(const Analysis& analysis, const Gallery& gallery) {
  Section section{"pictures", "Pictures side by side", {}};
  if (analysis.quality_state == QualityState::not_applicable) {
    section.blocks.push_back(Paragraph{no_quality_reason(analysis), Tone::quiet});
    return section;
  }
  if (gallery.side_by_side.empty() && gallery.small.empty()) {
    section.blocks.push_back(Paragraph{"The run has no pictures.", Tone::quiet});
    return section;
  }
  section.blocks.push_back(Paragraph{
      "Of each scheme the picture with the largest difference from bf16's, the median one, and the "
      "one with the smallest, by FLIP. Both pictures of a pair come from the same noise."});
  if (!gallery.side_by_side.empty())
    section.blocks.push_back(ColourScale{"Colours of the difference maps: FLIP error per pixel"});
  section.blocks.insert(section.blocks.end(), gallery.side_by_side.begin(),
                        gallery.side_by_side.end());
  if (!gallery.small.empty()) {
    section.blocks.push_back(Heading{"All pictures, with their FLIP"});
    section.blocks.insert(section.blocks.end(), gallery.small.begin(), gallery.small.end());
  }
  return section;
}

Section drift_section(const Analysis& analysis) {
  Section section{"drift", "Latent drift per step", {}};
  std::string reason = no_quality_reason(analysis);
  std::vector<std::pair<std::string, const SchemeQuality*>> entries;
  for (const SchemeQuality& quality : analysis.quality)
    if (!quality.drift.empty()) entries.emplace_back(quality.scheme, &quality);
  if (reason.empty() && entries.empty()) reason = "Not recorded in this run.";
  if (!reason.empty()) {
    section.blocks.push_back(Paragraph{reason, Tone::quiet});
    return section;
  }
  if (analysis.noise_floor && !analysis.noise_floor->drift.empty())
    entries.emplace_back("noise floor", &*analysis.noise_floor);
  section.blocks.push_back(
      Paragraph{"How far the latents of a scheme are from bf16's after each step: the Euclidean "
                "norm of their "
                "difference over that of bf16's, the mean over pictures."});
  ChartSpec spec{
      "latent-drift",
      "Latent drift by step",
      "Relative distance of latents from bf16's, by step; the last step is in the table.",
      {"step", Axis::Scale::linear, false, {}},
      {"relative distance", Axis::Scale::log, false, {}},
      {}};
  Table table;
  table.caption = "Mean relative distance, with 95 % intervals";
  table.columns = {
      {"Scheme", false}, {"First step", true}, {"Middle step", true}, {"Last step", true}};
  size_t steps = 0;
  for (const auto& [name, quality] : entries) {
    Series series{name, name == "noise floor" ? 0 : style_of(analysis, name), {}};
    for (size_t step = 0; step < quality->drift.size(); ++step)
      series.points.push_back({static_cast<double>(step + 1),
                               quality->drift[step].value,
                               {},
                               quality->drift[step].interval});
    steps = std::max(steps, quality->drift.size());
    spec.series.push_back(std::move(series));
    const std::vector<Estimate>& drift = quality->drift;
    std::vector<TableCell> row = {{name, "", Tone::plain}};
    for (const size_t step : {size_t{0}, (drift.size() - 1) / 2, drift.size() - 1})
      row.push_back(estimate_cell(drift[step], 5, ""));
    table.rows.push_back(std::move(row));
  }
  const size_t stride = std::max<size_t>(1, (steps + 9) / 10);
  for (size_t step = 1; step <= steps; step += stride)
    spec.x.ticks.push_back(static_cast<double>(step));
  section.blocks.push_back(Charts{{draw_chart(spec)}});
  section.blocks.push_back(std::move(table));
  return section;
}

}  // namespace fluxq::report

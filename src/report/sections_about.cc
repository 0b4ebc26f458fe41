/// Where the figures come from and how far they reach.
#include <fmt/format.h>

#include <algorithm>

#include "report/numbers.h"
#include "report/sections.h"

namespace fluxq::report {
namespace {

void add(Table& table, std::string name, std::string value) {
  if (!value.empty())
    table.rows.push_back({{std::move(name), "", Tone::plain}, {std::move(value), "", Tone::plain}});
}

std::string size_text(const std::optional<int64_t>& bytes) {
  return bytes && *bytes > 0 ? show_bytes(static_cast<double>(*bytes)) : "";
}

// "1980 MHz, 41 °C, 118 W, 0 other processes"; empty when nothing could be read.
std::string state_text(const DeviceState& state) {
  std::string text;
  const auto append = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  if (state.clock_mhz) append(fixed(*state.clock_mhz, 0) + " MHz");
  if (state.temperature_c) append(fixed(*state.temperature_c, 0) + " °C");
  if (state.power_w) append(fixed(*state.power_w, 0) + " W");
  if (state.other_processes)
    append(fmt::format("{} other {}", *state.other_processes,
                       *state.other_processes == 1 ? "process" : "processes"));
  if (state.load_average) append("load average " + fixed(*state.load_average, 2));
  return text;
}

Table state_table(const Analysis& analysis) {
  Table table;
  table.caption = "The machine before and after each cell";
  table.columns = {{"Scheme, batch", false}, {"Before", false}, {"After", false}, {"Notes", false}};
  for (const CellSummary& cell : analysis.cells) {
    const std::string before = state_text(cell.cell->before), after = state_text(cell.cell->after);
    if (before.empty() && after.empty() && cell.cell->notes.empty()) continue;
    table.rows.push_back(
        {{cell_name(analysis, cell.cell->key), "", Tone::plain},
         before.empty() ? absent() : TableCell{before, "", Tone::plain},
         after.empty() ? absent() : TableCell{after, "", Tone::plain},
         cell.cell->notes.empty()
             ? absent()
             : TableCell{fmt::format("{}", fmt::join(cell.cell->notes, "; ")), "", Tone::plain}});
  }
  const bool has_notes = std::any_of(analysis.cells.begin(), analysis.cells.end(),
                                     [](const CellSummary& c) { return !c.cell->notes.empty(); });
  if (!has_notes) table.columns.pop_back();  // rows keep a cell more, which nobody shows
  return table;
}

bool is_above_ceiling(const std::optional<Rate>& rate) {
  return rate && rate->share && *rate->share > 1;
}

std::string floor_text(NoiseFloor floor) {
  switch (floor) {
    case NoiseFloor::f32_run:
      return "bf16 against an f32 run from the same noise";
    case NoiseFloor::second_kernels:
      return "bf16 against bf16 through a second valid set of kernels, from the same noise";
    case NoiseFloor::none:
      break;
  }
  return "none in this run";
}

}  // namespace

Section environment_section(const Analysis& analysis) {
  Section section{"environment", "Environment", {}};
  const Results& results = *analysis.results;
  const Environment& environment = results.environment;
  Table table;
  table.caption = "Program, model and machine";
  table.columns = {{"What", false}, {"Value", false}};
  add(table, "Device", environment.device_name);
  add(table, "Device memory", size_text(environment.device_memory_bytes));
  add(table, "Driver", environment.driver);
  add(table, "CUDA", environment.cuda);
  add(table, "Instruction set", environment.isa);
  add(table, "Threads", fmt::format("{}", environment.threads));
  add(table, "Host memory", size_text(environment.host_memory_bytes));
  add(table, "System",
      environment.os + (environment.kernel.empty() ? "" : ", " + environment.kernel));
  for (const auto& [kind, rate] : environment.ceiling_flops)
    add(table, "Measured ceiling, " + kind, flops_unit({&rate, 1}).show(rate));
  if (environment.ceiling_bytes > 0)
    add(table, "Measured ceiling, memory", show_bytes(environment.ceiling_bytes) + "/s");
  add(table, "fluxq",
      environment.fluxq_version + (environment.build.empty() ? "" : ", " + environment.build));
  add(table, "Program, SHA-256", environment.binary_sha256);
  add(table, "Model",
      environment.model_name + (environment.synthetic ? " (synthetic weights)" : ""));
  add(table, "Weights, SHA-256", environment.weights_sha256);
  add(table, "Run begun", environment.started);
  section.blocks.push_back(std::move(table));
  Table states = state_table(analysis);
  if (!states.rows.empty()) section.blocks.push_back(std::move(states));
  return section;
}

Section method_section(const Analysis& analysis) {
  const Results& results = *analysis.results;
  const Plan& plan = results.plan;
  std::string guidance = plan.guidance > 0 ? fmt::format(", guidance {:g}", plan.guidance) : "";
  Section section{"method", "Method", {}};
  section.blocks.push_back(Bullets{
      {fmt::format(
           "{}{}, {} text tokens{}{}. Each scheme runs in its own process: {} first, not "
           "counted, then {} for each cell; the first run of the process is shown apart, as "
           "cold.",
           count_of(plan.steps, "step"), guidance, plan.max_text_tokens,
           plan.recipe.empty() ? "" : ", recipe " + plan.recipe,
           plan.attention == "bf16"
               ? ""
               : fmt::format(", attention in {} but for bf16 and f32", plan.attention),
           count_of(plan.warmups, "warm-up"), count_of(plan.repeats, "run")),
       "A time is the wall clock of one run, from the prompt to the finished pictures of a batch; "
       "shown is the median, with the range of the middle half. All samples are in results.json.",
       "Speed-up and latency reduction are the ratio of two medians. Its 95 % interval is a "
       "bootstrap of pairs (repeat by repeat), widened for few samples. Of schemes is said faster "
       "or slower only if the interval excludes 1.",
       fmt::format("Pictures: {} × {} ({}); every scheme draws them from the same noise, and each "
                   "is compared with bf16's.",
                   count_of(static_cast<int64_t>(plan.prompts.size()), "prompt"),
                   count_of(static_cast<int64_t>(plan.seeds.size()), "seed"),
                   fmt::join(plan.seeds, ", ")),
       "FLIP (Andersson and others, HPG 2020, at 67 pixels per degree), PSNR, and SSIM with an 11 "
       "× "
       "11 Gaussian window. Means have bootstrap intervals over pictures; a difference between "
       "schemes is taken picture by picture. NaN, black and constant pictures are counted and kept "
       "out of means; identical pictures have no PSNR and are counted.",
       "Noise floor: " + floor_text(results.noise_floor) +
           ". Another seed: bf16 with another seed against bf16, prompt by prompt.",
       "Arithmetic counts the linear layers, attention and convolutions of a run, a multiply-add "
       "as "
       "2. Bandwidth counts resident weights times how often each is read. Ceilings are what this "
       "machine reached in a measurement at the start of the run, the best of several."}});
  return section;
}

Section limits_section(const Analysis& analysis, const std::vector<std::string>& problems) {
  const Results& results = *analysis.results;
  Section section{"limits", "Limits", {}};
  Bullets bullets;
  bullets.items = {
      "The intervals cover what varies between runs of one process and between the pictures of "
      "this plan. They do not cover other machines, drivers, prompts of another kind, or other "
      "models.",
      "Each interval stands for itself; with many comparisons, one in twenty would exclude no "
      "effect by chance.",
      "FLIP, PSNR and SSIM say how far a picture is from bf16's, not which is better: a sampler "
      "may reach another picture that is as good. Look at the pictures."};
  if (std::ranges::any_of(analysis.cells, [](const CellSummary& cell) {
        return is_above_ceiling(cell.flops) || is_above_ceiling(cell.bandwidth);
      }))
    bullets.items.emplace_back(
        "A rate above its ceiling means that the machine had more to do while the ceiling was "
        "measured than later: the shares of this run are too high.");
  for (const Cell& cell : results.cells)
    if (cell.status == CellStatus::failed)
      bullets.items.push_back(
          fmt::format("{} failed after {} ({}): {}", cell_name(analysis, cell.key),
                      count_of(cell.attempts, "attempt"), cell.failure_code, cell.failure));
  for (const SchemeQuality& quality : analysis.quality)
    if (quality.flagged > 0)
      bullets.items.push_back(
          fmt::format("{}: {} of {} pictures are NaN, black or constant and are in no mean.",
                      quality.scheme, quality.flagged, quality.pictures));
  for (const AcceptedChange& change : results.accepted_changes)
    bullets.items.push_back(
        fmt::format("Changed during the run and accepted at {}: {}, from {} to {}.", change.time,
                    change.what, change.before, change.after));
  bullets.items.insert(bullets.items.end(), problems.begin(), problems.end());
  section.blocks.push_back(std::move(bullets));
  if (!results.failures.empty()) {
    Table table;
    table.caption = "Attempts that ended badly";
    table.columns = {{"Scheme, batch", false}, {"Attempt", true}, {"When", false}, {"Why", false}};
    for (const Failure& failure : results.failures)
      table.rows.push_back({{cell_name(analysis, failure.key), "", Tone::plain},
                            {fmt::format("{}", failure.attempt), "", Tone::plain},
                            {failure.time, "", Tone::plain},
                            {failure.sentence, failure.code, Tone::plain}});
    section.blocks.push_back(std::move(table));
  }
  return section;
}

}  // namespace fluxq::report

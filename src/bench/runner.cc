#include "bench/runner.h"

#include <algorithm>

#include "bench/environment.h"
#include "bench/plan.h"
#include "bench/run_files.h"
#include "metrics/statistics.h"

namespace fluxq {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kAttempts = 2;  // at what may go better the next time
constexpr double kPatience = 20;
/// Before anything is measured: this share of the ceiling, or this rate if that is not known.
constexpr double kWorstEfficiency = 0.1;
constexpr double kUnknownRate = 1e9;  // FLOP/s

double seconds_since(Clock::time_point begun) {
  return std::chrono::duration<double>(Clock::now() - begun).count();
}

}  // namespace

Runner::Runner(Store& store, Results results, RunnerOptions options, RunWatcher& watcher,
               const CancelToken& cancel)
    : store_(store),
      results_(std::move(results)),
      options_(std::move(options)),
      watcher_(watcher),
      cancel_(cancel) {}

Runner::~Runner() = default;

Cell& Runner::cell_of(const CellKey& key) {
  for (Cell& cell : results_.cells)
    if (cell.key == key) return cell;
  fail(ErrorCode::internal, "a cell that is not in the plan: {}", key.scheme);
}

void Runner::run() {
  WorkList list = list_work(results_, options_.run_folder, options_.run_flops);
  begun_ = Clock::now();
  all_work_ = done_work_ = list.all_work;
  state_.cells = list.cells;
  state_.pictures = state_.pictures_done = list.pictures;
  for (const SchemeWork& scheme : list.schemes) {
    for (const Unit& unit : scheme.units) {
      done_work_ -= unit.work;
      if (unit.kind != Unit::Kind::cell) --state_.pictures_done;
    }
  }
  for (SchemeWork& scheme : list.schemes) {
    worker_.reset();
    run_scheme(scheme);
  }
  worker_.reset();
  remove_latents(options_.run_folder);
  move(nullptr, "");
}

void Runner::run_scheme(SchemeWork& work) {
  for (size_t i = 0; i < work.units.size();) {
    Unit& unit = work.units[i];
    const bool is_last = i + 1 == work.units.size();
    move(&unit, is_last ? "the next scheme" : describe(work.units[i + 1]));
    ++unit.attempts;
    try {
      do_unit(work.scheme, unit);
      ++i;
    } catch (const WorkerFailure& failure) {
      if (failure.is_lost) worker_.reset();
      note_failure(unit, failure);
      if (failure.may_pass && unit.attempts < kAttempts) continue;
      // What cannot be loaded fails in all its units.
      const size_t end = failure.in_loading ? work.units.size() : i + 1;
      for (; i < end; ++i) give_up(work.units[i], failure);
    }
  }
}

void Runner::do_unit(const std::string& scheme, Unit& unit) {
  if (!worker_) start_worker(scheme);
  const bool is_cell = unit.kind == Unit::Kind::cell;
  const Order order{
      .kind = is_cell ? Order::Kind::cell : Order::Kind::picture,
      .cell = unit.key,
      .picture = {.what = unit.picture, .seed_change = unit.kind == Unit::Kind::seed_change}};
  keep(unit, worker_->ask(order, is_cell ? Answer::Kind::cell : Answer::Kind::picture,
                          timeout_s(unit.key)));
  done_work_ += unit.work;
  session_work_ += unit.work;
  if (!is_cell) return;
  move(&unit, state_.next);
  watcher_.cell_done(cell_of(unit.key), state_);
}

void Runner::start_worker(const std::string& scheme) {
  worker_ = std::make_unique<WorkerProcess>(
      options_.worker_command, [this](std::string_view text) { watcher_.warn(text); }, cancel_);
  const Environment& environment = results_.environment;
  try {
    worker_->ask({.kind = Order::Kind::load,
                  .load = {.scheme = scheme,
                           .device = environment.device,
                           .threads = std::max(1, environment.threads),
                           .run_folder = options_.run_folder,
                           .weights_sha256 = environment.weights_sha256,
                           .plan = results_.plan}},
                 Answer::Kind::ready, options_.silence_s);
  } catch (WorkerFailure& failure) {
    failure.in_loading = failure.is_lost = true;
    throw;
  }
}

double Runner::timeout_s(const CellKey& key) const {
  const auto& ceilings = results_.environment.ceiling_flops;
  const auto f32 = ceilings.find("f32");
  double rate = f32 == ceilings.end() ? kUnknownRate : f32->second * kWorstEfficiency;
  for (const Cell& cell : results_.cells) {
    if (cell.status != CellStatus::done || cell.total_ms.empty()) continue;
    const double seconds = median(cell.total_ms) / 1000;
    if (seconds > 0 && cell.flops > 0) rate = std::min(rate, cell.flops / seconds);
  }
  return options_.silence_s + kPatience * options_.piece_flops(key) / rate;
}

void Runner::keep(const Unit& unit, Answer answer) {
  const auto refuse = [&] {
    throw worker_->lost("crashed", "the worker answered for something else; it");
  };
  if (unit.kind == Unit::Kind::cell) {
    Cell& cell = answer.cell;
    const auto repeats = static_cast<size_t>(results_.plan.repeats);
    if (cell.key != unit.key || cell.status != CellStatus::done ||
        cell.total_ms.size() != repeats || cell.text_ms.size() != repeats ||
        cell.denoise_ms.size() != repeats || cell.vae_ms.size() != repeats)
      refuse();
    cell.attempts = unit.attempts;
    store_.save(cell);
    cell_of(unit.key) = std::move(cell);
    return;
  }
  const PictureResult& picture = answer.picture;
  const PictureResult& asked = unit.picture;
  if (std::tie(picture.scheme, picture.prompt, picture.seed, picture.width, picture.height) !=
      std::tie(asked.scheme, asked.prompt, asked.seed, asked.width, asked.height))
    refuse();
  if (unit.kind == Unit::Kind::seed_change) {
    store_.save_seed_change(picture);
    results_.seed_change.push_back(picture);
  } else {
    store_.save(picture);
    results_.pictures.push_back(picture);
  }
  ++state_.pictures_done;
}

void Runner::note_failure(const Unit& unit, const WorkerFailure& failure) {
  const std::string what =
      unit.kind == Unit::Kind::cell || failure.in_loading ? "" : describe(unit) + ": ";
  results_.failures.push_back({.key = unit.key,
                               .attempt = unit.attempts,
                               .code = failure.code,
                               .sentence = what + failure.sentence,
                               .time = utc_now()});
  store_.save(results_.failures.back());
  watcher_.failed(results_.failures.back());
}

void Runner::give_up(const Unit& unit, const WorkerFailure& failure) {
  done_work_ += unit.work;
  if (unit.kind != Unit::Kind::cell) return;
  Cell& cell = cell_of(unit.key);
  cell = {};
  cell.key = unit.key;
  cell.status = CellStatus::failed;
  cell.failure_code = failure.code;
  cell.failure = failure.sentence;
  cell.attempts = std::max(1, unit.attempts);
  store_.save(cell);
}

void Runner::move(const Unit* unit, const std::string& next) {
  state_.cells_done = state_.cells_failed = 0;
  for (const Cell& cell : results_.cells) {
    state_.cells_done += cell.status == CellStatus::done;
    state_.cells_failed += cell.status == CellStatus::failed;
  }
  state_.running = unit ? describe(*unit) : "";
  state_.next = next;
  state_.share = !unit ? 1 : all_work_ > 0 ? std::clamp(done_work_ / all_work_, 0.0, 1.0) : 0;
  state_.seconds_left.reset();
  if (!unit) {
    state_.seconds_left = 0;
  } else if (session_work_ > 0) {
    state_.seconds_left =
        seconds_since(begun_) * std::max(0.0, all_work_ - done_work_) / session_work_;
  }
  watcher_.moved(results_, state_);
}

}  // namespace fluxq

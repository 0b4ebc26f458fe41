#include "bench/worker.h"

#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <new>
#include <optional>

#include "bench/draw.h"
#include "bench/measure.h"
#include "bench/messages.h"
#include "bench/plan.h"
#include "bench/survey.h"
#include "fluxq/engine.h"
#include "pipeline/attention_precision.h"
#include "pipeline/open_device.h"

namespace fluxq {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kBeatInterval{50};

class Channel final : public Progress {
 public:
  Channel(int orders, int answers) : orders_(orders), answers_(answers) {}

  /// Nothing when the orders end.
  std::optional<Order> read() {
    size_t newline = 0;
    while ((newline = buffer_.find('\n')) == std::string::npos) {
      char bytes[1 << 12];
      const ssize_t count = ::read(orders_, bytes, sizeof bytes);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) fail_errno("cannot read an order to a benchmark worker", errno);
      if (count == 0) return std::nullopt;
      buffer_.append(bytes, static_cast<size_t>(count));
      if (buffer_.size() > kMaxMessageBytes)
        fail(ErrorCode::corrupt_file, "an order to a benchmark worker is too long");
    }
    const std::string line = buffer_.substr(0, newline);
    buffer_.erase(0, newline + 1);
    return order_from(line);
  }

  void say(const Answer& answer) {
    const std::string line = to_line(answer);
    for (size_t sent = 0; sent < line.size();) {
      const ssize_t count = ::write(answers_, line.data() + sent, line.size() - sent);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) fail_errno("cannot answer to the benchmark run", errno);
      sent += static_cast<size_t>(count);
    }
  }

  // Signs of life.
  void begin(std::string_view phase, int64_t) override {
    phase_ = phase;
    beat();
  }
  void update(int64_t) override {
    if (Clock::now() - last_beat_ > kBeatInterval) beat();
  }
  void warn(std::string_view sentence) override {
    say({.kind = Answer::Kind::warning, .text = std::string(sentence)});
  }

 private:
  void beat() {
    last_beat_ = Clock::now();
    say({.kind = Answer::Kind::beat, .text = phase_});
  }

  int orders_, answers_;
  std::string buffer_, phase_;
  Clock::time_point last_beat_;
};

class Worker {
 public:
  Worker(Channel& channel, const CancelToken& cancel) : channel_(channel), cancel_(cancel) {}

  Answer obey(const Order& order) {
    if (order.kind == Order::Kind::load) {
      load(order.load);
      return {.kind = Answer::Kind::ready};
    }
    if (order.kind == Order::Kind::survey)
      return {.kind = Answer::Kind::survey, .survey = survey_machine(order.survey, channel_)};
    if (!pipeline_)
      fail(ErrorCode::bad_argument, "a benchmark worker: expected to load a model first");
    if (order.kind == Order::Kind::picture)
      return {.kind = Answer::Kind::picture,
              .picture = draw_picture(*pipeline_, order_, order.picture, channel_, cancel_)};
    return {.kind = Answer::Kind::cell,
            .cell = measure_cell(*pipeline_, *kernels_, order_.plan, order.cell, loaded_,
                                 order_.threads, channel_, cancel_)};
  }

 private:
  void load(const LoadOrder& order) {
    order_ = order;
    pipeline_.reset();
    kernels_ = open_device(order.device, order.threads);
    PhasePeaks peaks(*kernels_, channel_);
    pipeline_ = std::make_unique<TextToImage>(
        read_model_folder(find_model(order.plan.model), channel_),
        recipe_of(order.plan, find_scheme(order.scheme)), *kernels_, peaks, cancel_,
        Residency::always,
        attention_precision(attention_of(order.plan, order.scheme), kernels_->device()));
    loaded_.memory = peaks.take();
    loaded_.load_ms = std::chrono::duration<double, std::milli>(Clock::now() - started_).count();
  }

  Channel& channel_;
  const CancelToken& cancel_;
  Clock::time_point started_ = Clock::now();
  LoadOrder order_;
  std::unique_ptr<Kernels> kernels_;
  std::unique_ptr<TextToImage> pipeline_;
  Loaded loaded_;
};

}  // namespace

void run_worker(int orders_fd, int answers_fd, const CancelToken& cancel) {
  Channel channel(orders_fd, answers_fd);
  Worker worker(channel, cancel);
  const auto failed = [&](ErrorCode code, const char* text) {
    channel.say(
        {.kind = Answer::Kind::failed, .text = text, .code = std::string(error_info(code).name)});
    return code == ErrorCode::device_lost;
  };
  while (const std::optional<Order> order = channel.read()) {
    try {
      channel.say(worker.obey(*order));
    } catch (const Error& error) {
      if (failed(error.code(), error.what())) return;
    } catch (const std::bad_alloc&) {
      failed(ErrorCode::out_of_memory_host, "an allocation failed: host memory does not suffice");
    } catch (const std::exception& error) {
      failed(ErrorCode::internal, error.what());
    }
  }
}

}  // namespace fluxq

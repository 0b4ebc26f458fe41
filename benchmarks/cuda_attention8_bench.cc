// FLUX's joint attention on the GPU, bf16 beside 8 bits: results are compared with sums in double
// at sampled heads and rows, then timed (median of 30), in all and part by part.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <map>
#include <string>

#include "cuda_attention8_bench.h"
#include "cuda_bench.h"
#include "kernels/cuda/attention_int8.h"
#include "quant/formats/e4m3.h"

namespace fluxq {
namespace {

constexpr Sampling kSampling = {.warm_ups = 5, .samples = 30};
constexpr int kSamples = 48;  // rows of heads that are compared

const AttentionCase kCases[] = {
    {"random", 1, 128, 384, false},
    {"random", 1, 128, 384, false, false, true},
    {"random", 1, 384, 384, false},
    {"random", 2, 333, 1024, false},
    {"like FLUX", 2, 333, 1024, true},
    {"random", 24, 4352, 21504, false, true},
    {"like FLUX", 24, 4352, 21504, true, true},
    {"random", 24, 4608, 21504, false, true},
    {"like FLUX", 24, 4608, 21504, true, true},
};

struct Precision {
  const char* name;
  AttentionPrecision value;
  double limit;  // of the error's rms over the output's
};
const Precision kPrecisions[] = {{"bf16", AttentionPrecision::bf16, 0.02},
                                 {"fp8", AttentionPrecision::fp8, 0.08},
                                 {"int8", AttentionPrecision::int8, 0.05}};

int failures = 0;

/// What differs of a matrix, and where.
class Errors {
 public:
  explicit Errors(const char* name) : name_(name) {}
  void add(int64_t row, int64_t col, double have, double want) {
    entries_.push_back({row, col, have, want});
  }
  /// Prints; whether the error's rms is at most `limit` of the wanted values'.
  bool small(double limit) const {
    double squares = 0, errors = 0;
    for (const Entry& e : entries_) {
      squares += e.want * e.want;
      errors += (e.have - e.want) * (e.have - e.want);
    }
    const double rms = std::sqrt(squares / static_cast<double>(entries_.size()));
    const double error = std::sqrt(errors / squares);
    const bool right = error <= limit;
    std::printf("      %-24s error %.5f rms of %.5f%s\n", name_, error, rms,
                right ? "" : "  WRONG");
    if (right) return true;
    int shown = 0;
    std::map<int64_t, std::map<int64_t, std::pair<int, int>>> wrong;  // tiles: wrong, all
    for (const Entry& e : entries_) {
      const bool off = !(std::abs(e.have - e.want) <= 10 * limit * rms);
      auto& [bad, all] = wrong[e.row / 16][e.col / 16];
      bad += off;
      ++all;
      if (off && shown++ < 24)
        std::printf("        [%3ld, %3ld] %12.6f, expected %12.6f\n", e.row, e.col, e.have, e.want);
    }
    for (const auto& [row, cols] : wrong) {
      if (row >= 12) break;
      std::printf("        rows %3ld..: ", row * 16);
      for (const auto& [col, counts] : cols)
        std::printf(" %3d%%", 100 * counts.first / counts.second);
      std::printf(" wrong by columns of 16\n");
    }
    std::fflush(stdout);
    return false;
  }

 private:
  struct Entry {
    int64_t row, col;
    double have, want;
  };
  const char* name_;
  std::vector<Entry> entries_;
};

class Run {
 public:
  Run(CudaKernels& kernels, const AttentionCase& c) : kernels_(kernels), case_(c), data_(c) {
    wide_ = kernels.upload(data_.wide);
    out_ = kernels.allocate(DType::bf16, {1, c.rows, c.heads * kDim});
    const int64_t cols = c.heads * kDim;
    args_ = {.q = Rows(wide_).columns(0, cols),
             .k = Rows(wide_).columns(cols, cols),
             .v = Rows(wide_).columns(2 * cols, cols),
             .out = out_,
             .rope = kernels.upload(data_.rope),
             .eps = kEps,
             .heads = c.heads,
             .scale = 1 / std::sqrt(static_cast<float>(kDim))};
    const auto weight = [&](int i) { return kernels.upload(data_.weights[i]); };
    args_.streams = {{0, data_.text(), weight(0), weight(1)},
                     {data_.text(), c.rows - data_.text(), weight(2), weight(3)}};
    for (int i = 0; i < kSamples; ++i) expected_.push_back(data_.attended(row_of(i), head_of(i)));
  }

  void compare(const Precision& p) {
    args_.precision = p.value;
    attend_once();
    const Tensor got = kernels_.download(out_);
    attend_once();
    const Tensor again = kernels_.download(out_);
    const bool same = same_bytes(got, again);
    double squares = 0, errors = 0, worst = 0;
    for (int i = 0; i < kSamples; ++i)
      for (int64_t j = 0; j < kDim; ++j) {
        const double want = expected_[static_cast<size_t>(i)][static_cast<size_t>(j)];
        const double have =
            static_cast<float>(got.data<bf16>()[(row_of(i) * case_.heads + head_of(i)) * kDim + j]);
        squares += want * want;
        errors += (have - want) * (have - want);
        worst = std::max(worst, std::abs(have - want));
      }
    const double error = std::sqrt(errors / squares);
    const bool right = error <= p.limit && same;
    failures += !right;
    std::printf("%-10s S %5ld  %-6s error %.5f rms %.4f largest of the output's rms%s%s",
                case_.data, case_.rows, p.name, error,
                worst / std::sqrt(squares / (kSamples * kDim)), same ? "" : "  OTHER BYTES",
                right ? "" : "  WRONG");
    if (case_.timed) {
      // What bf16 norms in place is normed again: the same work.
      const double ms =
          1e-3 * median_us(kernels_, kSampling, [&] { kernels_.joint_attention(args_); });
      std::printf("  %.4f ms with norms, %.1f TFLOP/s", ms, tflops(ms));
    }
    std::printf("\n");
    std::fflush(stdout);
  }

  /// All of the 8-bit kernels' results, against sums in double from their own codes, and the codes'
  /// scores and values against those of the data. Says where they differ, by tiles of 16 x 16.
  void explain(const Precision& p) {
    using namespace cuda;
    args_.precision = p.value;
    const bool codes_values = p.value == AttentionPrecision::fp8;
    kernels_.copy_to(data_.wide, wide_);
    Arena::Scope scope(kernels_.arena());
    const Int8Codes codes = take_int8_codes(kernels_, args_);
    encode_int8(kernels_, args_, codes);
    poison(kernels_, out_);
    kernels_.synchronize();
    const Tensor q = kernels_.download(codes.q), k = kernels_.download(codes.k);
    const Tensor q_scale = kernels_.download(codes.q_scale);
    const Tensor k_scale = kernels_.download(codes.k_scale);
    const int64_t tiles = codes.q.dim(2);
    const Tensor v = codes_values ? kernels_.download(codes.v) : Tensor();
    attention_int8(kernels_, codes, args_.v, args_.out);
    const Tensor out = kernels_.download(out_);
    for (int64_t head = 0; head < case_.heads; ++head) {
      const auto code = [&](const Tensor& of, int64_t row, int64_t col) -> int {
        const int64_t place = (col / 16 ^ row % 8) * 16 + col % 16;
        return of.data<int8_t>()[((head * tiles) * kInt8Tile + row) * kDim + place];
      };
      const auto given = [&](int64_t row, int64_t col) -> double {
        return static_cast<float>(data_.wide.data<bf16>()[row * case_.row_elements +
                                                          (2 * case_.heads + head) * kDim + col]);
      };
      const auto value = [&](int64_t row, int64_t col) {
        if (!codes_values) return given(row, col);
        const int64_t in_16 = row % 16, place = in_16 % 8 / 2 * 4 + in_16 / 8 * 2 + in_16 % 2;
        const int64_t tile = head * tiles + row / kInt8Tile, piece = row % kInt8Tile / 16 ^ col % 8;
        const auto code = static_cast<const uint8_t*>(
            v.raw())[(tile * kDim + col) * kInt8Tile + piece * 16 + place];
        return double{e4m3_decode(code)};
      };
      Errors scores("scores of the codes"), results("results from the codes");
      Errors values("values of the codes");
      std::vector<double> coded(static_cast<size_t>(case_.rows * kDim));
      for (size_t i = 0; i < coded.size(); ++i) {
        const auto row = static_cast<int64_t>(i) / kDim, col = static_cast<int64_t>(i) % kDim;
        coded[i] = value(row, col);
        values.add(row, col, coded[i], given(row, col));
      }
      for (int64_t row = 0; row < case_.rows; ++row) {
        const bool sampled = row % 37 == 0;
        const std::vector<double> query =
            sampled ? data_.normed(0, row, head) : std::vector<double>{};
        std::vector<double> weight(static_cast<size_t>(case_.rows)), want(kDim);
        double most = -INFINITY, sum = 0;
        for (int64_t i = 0; i < case_.rows; ++i) {
          int64_t products = 0;
          for (int64_t j = 0; j < kDim; ++j) products += code(q, row, j) * code(k, i, j);
          const double score = static_cast<double>(products) *
                               q_scale.data<float>()[head * tiles * kInt8Tile + row] *
                               k_scale.data<float>()[head * tiles + i / kInt8Tile];
          weight[static_cast<size_t>(i)] = score;
          most = std::max(most, score);
          if (!sampled || i % 11 != 0) continue;
          const std::vector<double> key = data_.normed(1, i, head);
          double exact = 0;
          for (size_t j = 0; j < kDim; ++j) exact += query[j] * key[j];
          scores.add(row, i, score, exact * args_.scale * 1.4426950408889634);
        }
        for (double& w : weight) sum += w = std::exp2(w - most);
        for (int64_t i = 0; i < case_.rows; ++i)
          for (size_t j = 0; j < kDim; ++j)
            want[j] +=
                weight[static_cast<size_t>(i)] / sum * coded[static_cast<size_t>(i) * kDim + j];
        for (int64_t j = 0; j < kDim; ++j)
          results.add(row, j,
                      static_cast<float>(out.data<bf16>()[(row * case_.heads + head) * kDim + j]),
                      want[static_cast<size_t>(j)]);
      }
      std::printf("    %s, head %ld\n", p.name, head);
      failures += !scores.small(0.05);
      failures += !values.small(codes_values ? 0.03 : 0);
      failures += !results.small(codes_values ? 0.04 : 0.01);
    }
  }

  void time_parts() {
    using namespace cuda;
    const Attention plain = {.q = args_.q,
                             .k = args_.k,
                             .v = args_.v,
                             .out = args_.out,
                             .heads = args_.heads,
                             .scale = args_.scale};
    print("norms, bf16", [&] {
      for (const auto& s : args_.streams)
        kernels_.qk_norm_rope(args_.q.middle(s.first, s.count), args_.k.middle(s.first, s.count),
                              s.q_weight, s.k_weight, args_.rope.slice(s.first, s.first + s.count),
                              kEps);
    });
    print("attention, bf16", [&] { kernels_.attention(plain); });
    Arena::Scope scope(kernels_.arena());
    for (const Precision& p : kPrecisions) {
      if (p.value == AttentionPrecision::bf16) continue;
      args_.precision = p.value;
      const Int8Codes codes = take_int8_codes(kernels_, args_);
      print(fmt::format("norms and {} codes", p.name),
            [&] { encode_int8(kernels_, args_, codes); });
      print(fmt::format("attention, {}", p.name),
            [&] { attention_int8(kernels_, codes, args_.v, args_.out); });
    }
  }

 private:
  int64_t row_of(int i) const { return (int64_t{613} * i + case_.rows - 1) % case_.rows; }
  int64_t head_of(int i) const { return 7 * i % case_.heads; }
  double tflops(double ms) const {
    return 4e-9 * static_cast<double>(case_.rows * case_.rows * case_.heads * kDim) / ms;
  }
  void attend_once() {
    kernels_.copy_to(data_.wide, wide_);
    poison(kernels_, out_);
    kernels_.joint_attention(args_);
  }
  void print(const std::string& name, const std::function<void()>& run) {
    const double ms = 1e-3 * median_us(kernels_, kSampling, run);
    std::printf("    %-20s S %5ld %8.4f ms", name.c_str(), case_.rows, ms);
    if (name.starts_with("attention")) std::printf(" %7.1f TFLOP/s", tflops(ms));
    std::printf("\n");
    std::fflush(stdout);
  }

  CudaKernels& kernels_;
  const AttentionCase& case_;
  AttentionData data_;
  Tensor wide_, out_;
  JointAttention args_;
  std::vector<std::vector<double>> expected_;
};

}  // namespace
}  // namespace fluxq

int main() {
  using namespace fluxq;
  try {
    CudaKernels kernels;
    for (const AttentionCase& c : kCases) {
      Run run(kernels, c);
      for (const Precision& p : kPrecisions) {
        if (!c.timed && p.value != AttentionPrecision::bf16) run.explain(p);
        run.compare(p);
      }
      if (c.timed && c.like_flux) run.time_parts();
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  std::printf("%d of the checks failed\n", failures);
  return failures > 0;
}

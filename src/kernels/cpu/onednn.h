/// The CPU's door to oneDNN: its engine, and matrix products as primitives of one fixed size, made
/// once per size and run by one thread at a time on its own operands.
///
/// oneDNN's own (OpenMP) threads are never used: SingleThread holds them at one while a primitive
/// is made or run, because on some processors its results depend on their number.
#pragma once

#include <dnnl.hpp>
#include <map>
#include <mutex>
#include <string_view>

#include "base/error.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/tiles.h"

namespace fluxq::onednn {

const dnnl::engine& engine();

/// The calling thread's stream.
dnnl::stream& stream();

/// body(), its oneDNN errors as ours: "oneDNN WHAT: …".
template <typename Body>
auto with_errors(std::string_view what, const Body& body) {
  try {
    return body();
  } catch (const dnnl::error& error) {
    const bool memory = error.status == dnnl_out_of_memory;
    fail(memory ? ErrorCode::out_of_memory_host : ErrorCode::internal, "oneDNN {}: {}", what,
         error.what());
  }
}

/// Error(out_of_memory_host) unless there is room for the code of another primitive: oneDNN 2.6
/// crashes where it gets none. To be called before each is made.
void require_room_for_code();

/// While it lives, oneDNN runs in the calling thread only.
class SingleThread {
 public:
  SingleThread();
  ~SingleThread();
  SingleThread(const SingleThread&) = delete;
  SingleThread& operator=(const SingleThread&) = delete;

 private:
  int threads_before_;
};

/// Whether oneDNN may use these instructions here (the processor's, within ONEDNN_MAX_CPU_ISA).
bool has_bf16();
bool has_vnni();

/// Bytes of an element of `type`.
int64_t element_bytes(GemmType type);

/// c [m, n] = a [m, k] b [k, n]; a and c dense; c f32, or s32 for s8; b in this size's own
/// arrangement. All sizes with the same n, k and type share one arrangement, whatever m.
class Matmul {
 public:
  /// The product of that size: made when first asked for, kept for the life of the process.
  static const Matmul& of(GemmType type, int64_t m, int64_t n, int64_t k);

  int64_t weight_bytes() const { return static_cast<int64_t>(weight_desc_.get_size()); }
  /// A handle of an arranged b at `data` (weight_bytes() of 64-byte aligned memory).
  dnnl::memory weight_at(void* data) const;
  /// Arranges a b of the product's own element type whose element (i, j) stands at
  /// source[i * k_stride + j * n_stride]; one of the strides is 1.
  void arrange(const void* source, int64_t k_stride, int64_t n_stride,
               const dnnl::memory& weight) const;
  void run(const void* a, const dnnl::memory& weight, void* c) const;
  std::string implementation() const { return implementation_; }

 private:
  Matmul(GemmType type, int64_t m, int64_t n, int64_t k, const dnnl::memory::desc& weight_desc);

  GemmType type_;
  int64_t n_, k_;
  dnnl::memory::desc a_desc_, weight_desc_, c_desc_, scratch_desc_;
  dnnl::matmul primitive_;
  std::string implementation_;
  mutable std::mutex mutex_;
  mutable std::map<std::pair<int64_t, int64_t>, dnnl::reorder> reorders_;  // by strides
};

/// The products of one n, k and type for the heights of some tiles, looked up once.
class Matmuls {
 public:
  Matmuls() = default;
  Matmuls(GemmType type, int64_t n, int64_t k, const std::vector<cpu::Tile>& tiles) {
    of_kind_[0] = &Matmul::of(type, cpu::kTileHeights[0], n, k);
    for (const cpu::Tile& tile : tiles)
      if (!of_kind_[tile.kind]) of_kind_[tile.kind] = &Matmul::of(type, tile.height(), n, k);
  }
  const Matmul& of(const cpu::Tile& tile) const { return *of_kind_[tile.kind]; }
  /// The one of the tallest tiles, which arranges weights for all.
  const Matmul& tallest() const { return *of_kind_[0]; }

 private:
  const Matmul* of_kind_[cpu::kTileHeights.size()] = {};
};

}  // namespace fluxq::onednn

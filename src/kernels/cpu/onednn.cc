#include "kernels/cpu/onednn.h"

#include <omp.h>
#include <sys/mman.h>

#include <memory>
#include <tuple>
#include <unordered_map>
#include <vector>

namespace fluxq::onednn {
namespace {

using dnnl::memory;

memory::data_type operand_type(GemmType type) {
  switch (type) {
    case GemmType::f32:
      return memory::data_type::f32;
    case GemmType::bf16:
      return memory::data_type::bf16;
    case GemmType::s8:
      return memory::data_type::s8;
  }
  fail(ErrorCode::internal, "matrix product of type {}", static_cast<int>(type));
}

memory::desc dense(memory::data_type type, int64_t rows, int64_t cols) {
  return {{rows, cols}, type, memory::dims{cols, 1}};
}

bool has_isa(dnnl::cpu_isa isa) {
  const auto bits = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
  return (bits & static_cast<unsigned>(isa)) == static_cast<unsigned>(isa);
}

// What a thread needs to run one product: handles that are pointed at its operands, and scratch.
struct Operands {
  memory a, c, scratch;
};

}  // namespace

const dnnl::engine& engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::stream& stream() {
  thread_local dnnl::stream stream(engine());
  return stream;
}

void require_room_for_code() {
  constexpr size_t kBytes = 16 << 20;  // many times what one primitive takes
  void* const room = ::mmap(nullptr, kBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (room == MAP_FAILED)
    fail(ErrorCode::out_of_memory_host,
         "no host memory is left for the code of a kernel: expected {} bytes free", kBytes);
  ::munmap(room, kBytes);
}

SingleThread::SingleThread() : threads_before_(omp_get_max_threads()) {
  if (threads_before_ != 1) omp_set_num_threads(1);
}

SingleThread::~SingleThread() {
  if (threads_before_ != 1) omp_set_num_threads(threads_before_);
}

bool has_bf16() {
  static const bool has = has_isa(dnnl::cpu_isa::avx512_core_bf16);
  return has;
}

bool has_vnni() {
  static const bool has = has_isa(dnnl::cpu_isa::avx512_core_vnni);
  return has;
}

int64_t element_bytes(GemmType type) {
  return type == GemmType::f32 ? 4 : type == GemmType::bf16 ? 2 : 1;
}

const Matmul& Matmul::of(GemmType type, int64_t m, int64_t n, int64_t k) {
  // The arrangement is the one that tall products prefer; short ones are made to take it.
  constexpr int64_t kTall = 64;
  static std::mutex mutex;
  static std::map<std::tuple<GemmType, int64_t, int64_t, int64_t>, std::unique_ptr<Matmul>> made;
  const std::lock_guard lock(mutex);
  auto find_or_make = [&](int64_t rows, const memory::desc& weight_desc) -> const Matmul& {
    std::unique_ptr<Matmul>& slot = made[{type, rows, n, k}];
    if (!slot) slot.reset(new Matmul(type, rows, n, k, weight_desc));
    return *slot;
  };
  const SingleThread single;
  return *with_errors("matrix product", [&] {
    const Matmul& tall = find_or_make(kTall, {{k, n}, operand_type(type), memory::format_tag::any});
    return m == kTall ? &tall : &find_or_make(m, tall.weight_desc_);
  });
}

Matmul::Matmul(GemmType type, int64_t m, int64_t n, int64_t k, const memory::desc& weight_desc)
    : type_(type), n_(n), k_(k) {
  a_desc_ = dense(operand_type(type), m, k);
  c_desc_ = dense(type == GemmType::s8 ? memory::data_type::s32 : memory::data_type::f32, m, n);
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const dnnl::matmul::primitive_desc desc({a_desc_, weight_desc, c_desc_}, attr, engine());
  require_room_for_code();
  weight_desc_ = desc.weights_desc();
  scratch_desc_ = desc.scratchpad_desc();
  implementation_ = desc.impl_info_str();
  primitive_ = dnnl::matmul(desc);
}

memory Matmul::weight_at(void* data) const { return {weight_desc_, engine(), data}; }

void Matmul::arrange(const void* source, int64_t k_stride, int64_t n_stride,
                     const memory& weight) const {
  const SingleThread single;
  const memory::desc source_desc({k_, n_}, operand_type(type_), memory::dims{k_stride, n_stride});
  with_errors("arrangement of a weight", [&] {
    const memory from(source_desc, engine(), const_cast<void*>(source));
    dnnl::reorder reorder;
    {
      const std::lock_guard lock(mutex_);
      dnnl::reorder& slot = reorders_[{k_stride, n_stride}];
      if (!slot) {
        require_room_for_code();
        slot = dnnl::reorder(from, weight);
      }
      reorder = slot;
    }
    reorder.execute(stream(), {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, weight}});
  });
}

void Matmul::run(const void* a, const memory& weight, void* c) const {
  const SingleThread single;
  thread_local std::unordered_map<const Matmul*, Operands> all;
  Operands& mine = all[this];
  if (!mine.a) {
    mine = with_errors("operands of a matrix product", [&] {  // all of them or none
      return Operands{memory(a_desc_, engine(), nullptr), memory(c_desc_, engine(), nullptr),
                      memory(scratch_desc_, engine())};
    });
  }
  mine.a.set_data_handle(const_cast<void*>(a));
  mine.c.set_data_handle(c);
  // The C interface: the C++ one builds a hash map per call.
  const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, mine.a.get()},
                                  {DNNL_ARG_WEIGHTS, weight.get()},
                                  {DNNL_ARG_DST, mine.c.get()},
                                  {DNNL_ARG_SCRATCHPAD, mine.scratch.get()}};
  const dnnl_status_t status =
      dnnl_primitive_execute(primitive_.get(), stream().get(), std::size(args), args);
  if (status != dnnl_success)
    fail(status == dnnl_out_of_memory ? ErrorCode::out_of_memory_host : ErrorCode::internal,
         "oneDNN matrix product [{}, {}]: it failed", k_, n_);
}

}  // namespace fluxq::onednn

#include "kernels/cuda/blas.h"

#include <algorithm>
#include <array>

#include "kernels/cuda/check.h"
#include "kernels/cuda/plain_gemm.h"
#include "kernels/workspaces.h"

namespace fluxq {
namespace {

constexpr int64_t kMostRows = 4096;  // that algorithms are looked up for in place of fewer
constexpr int kVectorBytes = 16;     // what the fast kernels ask of pointers, rows and scales

// How a sum may be split over blocks: into parts kept in f32 that a second kernel adds in order.
// The other ways round the parts to the type of the output.
constexpr uint32_t kOrderedSplits =
    CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;

// The library cannot do what was asked, as opposed to having failed.
bool refused(cublasStatus_t status) {
  return status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE;
}

cudaDataType_t data_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return CUDA_R_32F;
    case DType::bf16:
      return CUDA_R_16BF;
    case DType::f8_e4m3:
      return CUDA_R_8F_E4M3;
    default:
      fail(ErrorCode::internal, "a matrix product of {}", dtype_name(dtype));
  }
}

bool aligned(const void* pointer, int64_t stride, DType dtype) {
  return reinterpret_cast<uintptr_t>(pointer) % kVectorBytes == 0 &&
         stride * dtype_bytes(dtype) % kVectorBytes == 0;
}

// The rows of one matrix; a single row may say anything about the next one.
int64_t row_stride(const Rows& rows) {
  return rows.rows == 1 ? std::max(rows.row_stride, rows.cols) : rows.row_stride;
}

bool usable(const Rows& rows) {
  return row_stride(rows) >= rows.cols && aligned(rows.data, row_stride(rows), rows.dtype);
}

// Owns one of the library's descriptors.
template <typename Handle, cublasStatus_t (*Destroy)(Handle)>
struct Owned {
  Handle handle = nullptr;
  Owned() = default;
  ~Owned() {
    if (handle) (void)Destroy(handle);
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
};

template <typename T>
void set(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute, const T& value) {
  cuda::check(cublasLtMatmulDescSetAttribute(desc, attribute, &value, sizeof(value)),
              "describing a matrix product");
}
template <typename T>
void set(cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t attribute, const T& value) {
  cuda::check(cublasLtMatrixLayoutSetAttribute(layout, attribute, &value, sizeof(value)),
              "describing a matrix");
}
template <typename T>
void set(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute,
         const T& value) {
  cuda::check(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof(value)),
              "asking for an algorithm");
}

}  // namespace

// A product of one shape as the library knows it. Its matrices are column-major, so ours are its
// transposes: it computes out^T [n, m] = w x^T, the only form in which it fuses a bias per column.
struct CudaBlas::Plan {
  Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy> desc;
  Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy> w, x, residual, out;
  std::vector<Algorithm> algorithms;  // in the library's order
  size_t chosen = 0;                  // those before it did not run

  explicit Plan(const Shape& shape) {
    cuda::check(cublasLtMatmulDescCreate(&desc.handle, CUBLAS_COMPUTE_32F, CUDA_R_32F),
                "describing a matrix product");
    set(desc.handle, CUBLASLT_MATMUL_DESC_TRANSA, shape.b_is_nk ? CUBLAS_OP_T : CUBLAS_OP_N);
    if (shape.bias || shape.gelu) {
      const cublasLtEpilogue_t epilogue = !shape.gelu  ? CUBLASLT_EPILOGUE_BIAS
                                          : shape.bias ? CUBLASLT_EPILOGUE_GELU_BIAS
                                                       : CUBLASLT_EPILOGUE_GELU;
      set(desc.handle, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
    }
    if (shape.in == DType::f8_e4m3) {
      set(desc.handle, CUBLASLT_MATMUL_DESC_FAST_ACCUM, int8_t{1});
      if (shape.bias)
        set(desc.handle, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, int32_t{data_type(shape.out)});
    }
    if (shape.scales == Scales::Kind::vectors) {
      set(desc.handle, CUBLASLT_MATMUL_DESC_A_SCALE_MODE,
          int32_t{CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F});
      set(desc.handle, CUBLASLT_MATMUL_DESC_B_SCALE_MODE,
          int32_t{CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F});
    }
    const auto layout = [&](auto& owned, DType dtype, int64_t rows, int64_t cols, int64_t ld,
                            int64_t stride) {
      cuda::check(
          cublasLtMatrixLayoutCreate(&owned.handle, data_type(dtype), static_cast<uint64_t>(rows),
                                     static_cast<uint64_t>(cols), ld),
          "describing a matrix");
      if (shape.heads == 1) return;
      set(owned.handle, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, static_cast<int32_t>(shape.heads));
      set(owned.handle, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, stride);
    };
    layout(w, shape.in, shape.b_is_nk ? shape.k : shape.n, shape.b_is_nk ? shape.n : shape.k,
           shape.ldb, shape.stride_b);
    layout(x, shape.in, shape.k, shape.m, shape.lda, shape.stride_a);
    layout(residual, shape.out, shape.n, shape.m, shape.residual ? shape.ldc : shape.ldd,
           shape.stride_d);
    layout(out, shape.out, shape.n, shape.m, shape.ldd, shape.stride_d);
  }

  void point_to(const Scales& scales, const void* bias) {
    if (scales.kind != Scales::Kind::none) {
      set(desc.handle, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, scales.w);
      set(desc.handle, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, scales.x);
    }
    if (bias) set(desc.handle, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  }
};

// The library's algorithms for a plan that split sums in no other way than `splits`, in its order.
std::vector<CudaBlas::Algorithm> CudaBlas::offers(const Plan& plan, int alignment,
                                                  uint32_t splits) {
  Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy> preference;
  cuda::check(cublasLtMatmulPreferenceCreate(&preference.handle), "asking for an algorithm");
  set(preference.handle, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
      static_cast<size_t>(kProductWorkspaceBytes));
  set(preference.handle, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, splits);
  for (const auto attribute :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
    set(preference.handle, attribute, static_cast<uint32_t>(alignment));
  std::array<Algorithm, 8> results{};
  int found = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
      handle_, plan.desc.handle, plan.w.handle, plan.x.handle, plan.residual.handle,
      plan.out.handle, preference.handle, static_cast<int>(results.size()), results.data(), &found);
  if (!refused(status)) cuda::check(status, "asking for an algorithm");
  std::vector<Algorithm> algorithms;
  for (int i = 0; status == CUBLAS_STATUS_SUCCESS && i < found; ++i) {
    if (results[static_cast<size_t>(i)].state == CUBLAS_STATUS_SUCCESS)
      algorithms.push_back(results[static_cast<size_t>(i)]);
  }
  return algorithms;
}

// Whether a plan can be done with an algorithm, whose workspace is set to what that takes.
bool CudaBlas::accepts(const Plan& plan, Algorithm& algorithm) {
  const cublasLtMatmulAlgo_t its = algorithm.algo;
  return cublasLtMatmulAlgoCheck(handle_, plan.desc.handle, plan.w.handle, plan.x.handle,
                                 plan.residual.handle, plan.out.handle, &its,
                                 &algorithm) == CUBLAS_STATUS_SUCCESS &&
         algorithm.workspaceSize <= static_cast<size_t>(kProductWorkspaceBytes);
}

// Makes an algorithm take each sum in one piece. False if it cannot.
bool CudaBlas::unsplit(const Plan& plan, Algorithm& algorithm) {
  const int32_t parts = 1;
  const uint32_t scheme = CUBLASLT_REDUCTION_SCHEME_NONE;
  return cublasLtMatmulAlgoConfigSetAttribute(&algorithm.algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM,
                                              &parts, sizeof(parts)) == CUBLAS_STATUS_SUCCESS &&
         cublasLtMatmulAlgoConfigSetAttribute(&algorithm.algo,
                                              CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, &scheme,
                                              sizeof(scheme)) == CUBLAS_STATUS_SUCCESS &&
         accepts(plan, algorithm);
}

CudaBlas::CudaBlas(CudaKernels& kernels) : kernels_(kernels) {
  cuda::check(cublasLtCreate(&handle_), "starting it");
}

CudaBlas::~CudaBlas() {
  plans_.clear();
  (void)cublasLtDestroy(handle_);
}

CudaBlas::Plan* CudaBlas::plan(const Shape& shape) {
  const auto [entry, is_new] = plans_.try_emplace(shape);
  if (!is_new) return entry->second.get();
  // Some checks of the library look whether pointers are set; any will do here.
  Arena::Scope scope(kernels_.arena());
  const Tensor any = kernels_.arena().take(DType::f32, {1});
  const auto make = [&any](const Shape& of) {
    auto made = std::make_unique<Plan>(of);
    made->point_to({of.scales, any.data<float>(), any.data<float>()},
                   of.bias ? any.raw() : nullptr);
    return made;
  };
  auto plan = make(shape);
  plan->algorithms = offers(*plan, shape.alignment, kOrderedSplits);
  if (plan->algorithms.empty()) {
    plan->algorithms = offers(*plan, shape.alignment, CUBLASLT_REDUCTION_SCHEME_MASK);
    std::erase_if(plan->algorithms, [&](auto& algorithm) { return !unsplit(*plan, algorithm); });
  }
  // For few rows and a long sum it may offer none but those that split; what it offers for more
  // rows can do fewer.
  Shape taller = shape;
  while (plan->algorithms.empty() && (taller.m *= 2) <= kMostRows) {
    plan->algorithms = offers(*make(taller), shape.alignment, kOrderedSplits);
    std::erase_if(plan->algorithms, [&](auto& algorithm) { return !accepts(*plan, algorithm); });
  }
  if (!plan->algorithms.empty()) entry->second = std::move(plan);
  return entry->second.get();
}

bool CudaBlas::choose(const Shape& shape, int rank) {
  Plan* const found = plan(shape);
  if (!found || rank < 0 || static_cast<size_t>(rank) >= found->algorithms.size()) return false;
  found->chosen = static_cast<size_t>(rank);
  return true;
}

// An offered algorithm may yet be refused; then it is the next one's turn, for good. Since all
// pointers are as aligned as the plan says, that depends on the shape alone.
bool CudaBlas::run(Plan& plan, const void* x, const void* w, const Scales& scales, const void* bias,
                   const void* residual, void* out, float alpha) {
  plan.point_to(scales, bias);
  const float beta = residual ? 1.0f : 0.0f;
  for (; plan.chosen < plan.algorithms.size(); ++plan.chosen) {
    const Algorithm& algorithm = plan.algorithms[plan.chosen];
    Arena::Scope scope(kernels_.arena());
    const Tensor workspace = kernels_.arena().take(
        DType::u8, {std::max<int64_t>(1, static_cast<int64_t>(algorithm.workspaceSize))});
    const cublasStatus_t status = cublasLtMatmul(
        handle_, plan.desc.handle, &alpha, w, plan.w.handle, x, plan.x.handle, &beta,
        residual ? residual : out, plan.residual.handle, out, plan.out.handle, &algorithm.algo,
        workspace.raw(), algorithm.workspaceSize, kernels_.stream());
    if (status == CUBLAS_STATUS_SUCCESS) return true;
    if (!refused(status)) cuda::check(status, "a matrix product");
  }
  return false;
}

bool CudaBlas::multiply(const Rows& x, const Rows& w, const Scales& scales, const Ending& ending,
                        const Rows& out) {
  const bool has_residual = !ending.residual.empty();
  if (!usable(x) || !usable(w) || !usable(out) || (has_residual && !usable(ending.residual)) ||
      !aligned(ending.bias, 0, DType::u8) || !aligned(scales.x, 0, DType::f32) ||
      !aligned(scales.w, 0, DType::f32))
    return false;
  const Shape shape = {.m = x.rows,
                       .n = w.rows,
                       .k = x.cols,
                       .lda = row_stride(x),
                       .ldb = row_stride(w),
                       .ldc = has_residual ? row_stride(ending.residual) : 0,
                       .ldd = row_stride(out),
                       .in = x.dtype,
                       .out = out.dtype,
                       .scales = scales.kind,
                       .bias = ending.bias != nullptr,
                       .gelu = ending.gelu_tanh,
                       .residual = has_residual,
                       .alignment = kVectorBytes};
  latest_ = shape;
  Plan* const found = plan(shape);
  return found && run(*found, x.data, w.data, scales, ending.bias,
                      has_residual ? ending.residual.data : nullptr, out.data, 1.0f);
}

void CudaBlas::matmul_batched(const Heads& a, const Heads& b, bool b_is_nk, const Heads& out,
                              int64_t m, int64_t n, int64_t k, int64_t heads, int64_t batch,
                              float alpha) {
  const auto vectors = [&](const Heads& matrix) {
    return aligned(matrix.data, matrix.row_stride, matrix.dtype) &&
           aligned(nullptr, matrix.head_stride, matrix.dtype) &&
           aligned(nullptr, matrix.batch_stride, matrix.dtype);
  };
  const int64_t element = std::min(dtype_bytes(a.dtype), dtype_bytes(out.dtype));
  const Shape shape = {.m = m,
                       .n = n,
                       .k = k,
                       .lda = a.row_stride,
                       .ldb = b.row_stride,
                       .ldd = out.row_stride,
                       .heads = heads,
                       .stride_a = a.head_stride,
                       .stride_b = b.head_stride,
                       .stride_d = out.head_stride,
                       .in = a.dtype,
                       .out = out.dtype,
                       .b_is_nk = b_is_nk,
                       .alignment = vectors(a) && vectors(b) && vectors(out)
                                        ? kVectorBytes
                                        : static_cast<int>(element)};
  Plan* const found = plan(shape);
  for (int64_t picture = 0; picture < batch; ++picture) {
    const auto at = [picture](const Heads& matrix) {
      Heads one = matrix;
      one.data = static_cast<std::byte*>(matrix.data) +
                 picture * matrix.batch_stride * dtype_bytes(matrix.dtype);
      return one;
    };
    const bool done =
        found && run(*found, at(a).data, at(b).data, {}, nullptr, nullptr, at(out).data, alpha);
    if (!done) cuda::plain_matmul(kernels_, at(a), at(b), b_is_nk, at(out), m, n, k, heads, alpha);
  }
}

}  // namespace fluxq

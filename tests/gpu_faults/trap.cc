/// A library for LD_PRELOAD: puts a kernel that traps before a matrix product, so that tests see
/// what a program makes of a GPU that fails under it. TRAP_ROWS=49 chooses the products of 49 rows:
/// those of a picture of 112 x 112 pixels (7 x 7 tokens), and no other.
///
/// It stands in for cuBLASLt's cublasLtMatmul(); the driver's functions are declared by hand, so
/// that every build has it.
#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace {

constexpr const char* kTrap =
    ".version 8.0\n.target sm_90\n.address_size 64\n"
    ".visible .entry stop() {\n  trap;\n  ret;\n}\n";
constexpr int kLayoutColumns = 3;  // CUBLASLT_MATRIX_LAYOUT_COLS: the library's are our rows

template <typename Function>
Function* find(void* library, const char* name) {
  auto* function = reinterpret_cast<Function*>(dlsym(library, name));
  if (function) return function;
  std::fprintf(stderr, "trap: no %s\n", name);
  std::abort();
}

/// Whether the product's result has the rows that TRAP_ROWS names.
bool is_chosen(void* layout) {
  static const char* const rows = std::getenv("TRAP_ROWS");
  static auto* const get =
      find<int(void*, int, void*, size_t, size_t*)>(RTLD_NEXT, "cublasLtMatrixLayoutGetAttribute");
  uint64_t columns = 0;
  size_t written = 0;
  return rows && get(layout, kLayoutColumns, &columns, sizeof columns, &written) == 0 &&
         columns == std::strtoull(rows, nullptr, 10);
}

/// Launches the kernel on a stream of the context that is current.
void launch_trap(void* stream) {
  void* const driver = dlopen("libcuda.so.1", RTLD_NOW);
  void *module = nullptr, *kernel = nullptr;
  int status = find<int(void**, const void*)>(driver, "cuModuleLoadData")(&module, kTrap);
  if (status == 0)
    status = find<int(void**, void*, const char*)>(driver, "cuModuleGetFunction")(&kernel, module,
                                                                                  "stop");
  if (status == 0) {
    status = find<int(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                      void*, void**, void**)>(driver, "cuLaunchKernel")(kernel, 1, 1, 1, 1, 1, 1, 0,
                                                                        stream, nullptr, nullptr);
  }
  std::fprintf(stderr, "trap: launched, status %d\n", status);
}

}  // namespace

extern "C" int cublasLtMatmul(void* handle, void* product, const void* alpha, const void* a,
                              void* a_layout, const void* b, void* b_layout, const void* beta,
                              const void* c, void* c_layout, void* d, void* d_layout,
                              const void* algorithm, void* workspace, size_t workspace_bytes,
                              void* stream) {
  static auto* const real = find<decltype(cublasLtMatmul)>(RTLD_NEXT, "cublasLtMatmul");
  if (is_chosen(d_layout)) launch_trap(stream);
  return real(handle, product, alpha, a, a_layout, b, b_layout, beta, c, c_layout, d, d_layout,
              algorithm, workspace, workspace_bytes, stream);
}

/// Stands in for the NVIDIA driver and the CUDA libraries, for tests on machines without a GPU: one
/// shared library under all their names (libcuda.so.1, libnvidia-ml.so.1, libcublasLt.so.13, ...)
/// that describes one H100. FAKE_GPU chooses a machine that has something wrong with it:
/// "none" (a driver, no device), "old" (an old driver), "ada" (a GPU of another architecture),
/// "busy" (hot, used by others).
#include <unistd.h>

#include <cstdlib>
#include <cstring>

namespace {

bool is_case(const char* name) {
  const char* chosen = std::getenv("FAKE_GPU");
  return chosen && std::strcmp(chosen, name) == 0;
}

void put(char* out, int size, const char* text) {
  std::strncpy(out, text, static_cast<size_t>(size) - 1);
  out[size - 1] = '\0';
}

constexpr const char* kBusId = "0000:3b:00.0";

struct Memory {
  unsigned long long total, free, used;
};
struct Process {
  unsigned pid;
  unsigned long long used_memory;
  unsigned gpu_instance, compute_instance;
};

}  // namespace

extern "C" {

int cuDriverGetVersion(int* version) {
  *version = is_case("old") ? 12010 : 13000;
  return 0;
}
int cuInit(unsigned) { return is_case("none") ? 100 : 0; }
int cuGetErrorName(int error, const char** name) {
  *name = error == 100 ? "CUDA_ERROR_NO_DEVICE" : nullptr;
  return 0;
}
int cuDeviceGetCount(int* count) {
  *count = 1;
  return 0;
}
int cuDeviceGet(int* device, int index) {
  *device = 70 + index;
  return index == 0 ? 0 : 101;
}
int cuDeviceGetName(char* name, int size, int device) {
  put(name, size, is_case("ada") ? "NVIDIA L40S" : "NVIDIA H100 80GB HBM3");
  return device == 70 ? 0 : 101;
}
int cuDeviceGetAttribute(int* value, int attribute, int device) {
  if (attribute == 16) *value = 132;
  if (attribute == 75) *value = is_case("ada") ? 8 : 9;
  if (attribute == 76) *value = is_case("ada") ? 9 : 0;
  return device == 70 ? 0 : 101;
}
int cuDeviceTotalMem_v2(size_t* bytes, int device) {
  *bytes = is_case("ada") ? 48'000'000'000 : 85'000'000'000;
  return device == 70 ? 0 : 101;
}
int cuDeviceGetPCIBusId(char* id, int size, int device) {
  put(id, size, kBusId);
  return device == 70 ? 0 : 101;
}
int cuDevicePrimaryCtxGetState(int device, unsigned* flags, int* active) {
  *flags = 0;
  *active = is_case("busy") ? 1 : 0;
  return device == 70 ? 0 : 101;
}

int nvmlInit_v2() { return 0; }
int nvmlShutdown() { return 0; }
int nvmlSystemGetDriverVersion(char* version, unsigned size) {
  put(version, static_cast<int>(size), is_case("old") ? "530.30.02" : "580.65.06");
  return 0;
}
int nvmlDeviceGetCount_v2(unsigned* count) {
  *count = is_case("none") ? 0 : 1;
  return 0;
}
int nvmlDeviceGetHandleByPciBusId_v2(const char* id, void** device) {
  static int gpu = 0;
  *device = &gpu;
  return std::strcmp(id, kBusId) == 0 ? 0 : 6;
}
int nvmlDeviceGetClockInfo(void*, int kind, unsigned* mhz) {
  *mhz = kind == 1 ? (is_case("busy") ? 1200 : 1980) : 2619;
  return 0;
}
int nvmlDeviceGetMaxClockInfo(void*, int, unsigned* mhz) {
  *mhz = 1980;
  return 0;
}
int nvmlDeviceGetTemperature(void*, int, unsigned* celsius) {
  *celsius = is_case("busy") ? 91 : 34;
  return 0;
}
int nvmlDeviceGetPowerUsage(void*, unsigned* milliwatts) {
  *milliwatts = 71'500;
  return 0;
}
int nvmlDeviceGetEnforcedPowerLimit(void*, unsigned* milliwatts) {
  *milliwatts = 700'000;
  return 0;
}
int nvmlDeviceGetMemoryInfo(void*, Memory* memory) {
  *memory = {85'000'000'000, 84'000'000'000, 1'000'000'000};
  return 0;
}
int nvmlDeviceGetComputeRunningProcesses_v3(void*, unsigned* count, Process* processes) {
  if (*count < 3) return 7;
  *count = is_case("busy") ? 3 : 0;
  for (unsigned i = 0; i < *count; ++i) processes[i] = {4'000'000'000U + i, 1'000'000, 0, 0};
  return 0;
}
int nvmlDeviceGetTotalEccErrors(void*, int, int, unsigned long long* count) {
  *count = 0;
  return 0;
}
// nvmlDeviceGetMigMode is missing, as on GPUs that know no MIG.
int nvmlDeviceGetCurrentClocksThrottleReasons(void*, unsigned long long* reasons) {
  *reasons = is_case("busy") ? 0x20 | 0x80 | 0x01 : 0x01;
  return 0;
}

int cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return 0;
}
size_t cublasLtGetVersion() { return 130100; }
size_t cudnnGetVersion() { return 91002; }

}  // extern "C"

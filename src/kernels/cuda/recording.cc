#include "kernels/cuda/check.h"
#include "kernels/cuda/cuda_kernels.h"

namespace fluxq {
namespace {

struct Graph final : Recording {
  ~Graph() override {
    if (executable) (void)cudaGraphExecDestroy(executable);
  }
  cudaGraphExec_t executable = nullptr;  // null until the work came a second time
};

cudaGraph_t capture(cudaStream_t stream, const std::function<void()>& work) {
  cudaGraph_t graph = nullptr;
  cuda::check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal),
              "beginning to record");
  try {
    work();
  } catch (...) {
    (void)cudaStreamEndCapture(stream, &graph);
    if (graph) (void)cudaGraphDestroy(graph);
    throw;
  }
  cuda::check(cudaStreamEndCapture(stream, &graph), "recording");
  return graph;
}

}  // namespace

void CudaKernels::run_recorded(std::shared_ptr<Recording>& recording,
                               const std::function<void()>& work) {
  if (!recording) {  // the first time allocates, chooses algorithms and loads modules
    work();
    recording = std::make_shared<Graph>();
    return;
  }
  auto& graph = static_cast<Graph&>(*recording);
  if (!graph.executable) {
    const cudaGraph_t recorded = capture(stream_, work);
    const cudaError_t status = cudaGraphInstantiate(&graph.executable, recorded, 0);
    (void)cudaGraphDestroy(recorded);
    cuda::check(status, "making a graph executable");
  }
  cuda::check(cudaGraphLaunch(graph.executable, stream_), "launching a graph");
}

}  // namespace fluxq

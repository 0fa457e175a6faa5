// CudaBackend's recordings: a stretch of the stream as one graph.
#include <utility>

#include "talon/backend/cuda/cuda_backend.h"
#include "talon/backend/cuda/cuda_check.h"

namespace talon::cuda {
namespace {

class GraphRecording : public RecordedOps {
 public:
  GraphRecording(cudaGraph_t graph, cudaStream_t stream) : stream_(stream) {
    const cudaError_t error = cudaGraphInstantiate(&exec_, graph, 0);
    cudaGraphDestroy(graph);
    Check(error, "graph");
  }
  ~GraphRecording() override { cudaGraphExecDestroy(exec_); }
  GraphRecording(const GraphRecording&) = delete;
  GraphRecording& operator=(const GraphRecording&) = delete;

  void Run() override { Check(cudaGraphLaunch(exec_, stream_), "graph launch"); }

 private:
  cudaStream_t stream_;
  cudaGraphExec_t exec_ = nullptr;
};

}  // namespace

void CudaBackend::Synchronize() {
  Check(cudaStreamSynchronize(Stream()), "an op before this synchronization");
}

std::unique_ptr<RecordedOps> CudaBackend::Record(std::function<void()> ops) {
  Check(cudaStreamBeginCapture(Stream(), cudaStreamCaptureModeThreadLocal), "capture");
  cudaGraph_t graph = nullptr;
  try {
    ops();
    Stream();  // what is still pending belongs to the recording
  } catch (...) {
    cudaStreamEndCapture(stream_, &graph);
    if (graph != nullptr) cudaGraphDestroy(graph);
    throw;
  }
  Check(cudaStreamEndCapture(stream_, &graph), "capture");
  return std::make_unique<GraphRecording>(graph, stream_);
}

}  // namespace talon::cuda

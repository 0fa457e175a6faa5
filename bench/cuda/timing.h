// Device memory, graph capture and medians for the benchmarks.
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <vector>

#include "talon/backend/cuda/cuda_check.h"

namespace talon::cuda {

class DeviceBytes {
 public:
  explicit DeviceBytes(int64_t size_bytes) {
    Check(cudaMalloc(&data_, static_cast<size_t>(size_bytes)), "cudaMalloc");
  }
  DeviceBytes(const DeviceBytes&) = delete;
  DeviceBytes& operator=(const DeviceBytes&) = delete;
  ~DeviceBytes() { cudaFree(data_); }
  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  void* data_ = nullptr;
};

// Median time in microseconds of one replay of what `enqueue` puts on the stream, as a graph.
inline double MedianGraphUs(cudaStream_t stream, const std::function<void()>& enqueue,
                            int replays = 15) {
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  Check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture");
  enqueue();
  Check(cudaStreamEndCapture(stream, &graph), "capture");
  Check(cudaGraphInstantiate(&exec, graph, 0), "graph");
  cudaEvent_t begin, end;
  Check(cudaEventCreate(&begin), "event");
  Check(cudaEventCreate(&end), "event");
  // Idle cards clock down: work for a while before the clock is read.
  const auto start = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - start < std::chrono::milliseconds(60)) {
    Check(cudaGraphLaunch(exec, stream), "graph launch");
    Check(cudaStreamSynchronize(stream), "kernel");
  }
  std::vector<double> times;
  for (int i = 0; i < replays; ++i) {
    Check(cudaEventRecord(begin, stream), "event");
    Check(cudaGraphLaunch(exec, stream), "graph launch");
    Check(cudaEventRecord(end, stream), "event");
    Check(cudaEventSynchronize(end), "kernel");
    float ms = 0.0f;
    Check(cudaEventElapsedTime(&ms, begin, end), "event");
    times.push_back(ms * 1e3);
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  cudaGraphExecDestroy(exec);
  cudaGraphDestroy(graph);
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  return times[times.size() / 2];
}

}  // namespace talon::cuda

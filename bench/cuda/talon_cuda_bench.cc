// talon_cuda_bench: the CUDA kernels in the 31B's shapes, against the card's own read bandwidth.
//   talon_cuda_bench [--format nvfp4|bf16|fp8] [--shape NAME] [--rows N]
//       [--activation-kb N] [--stages N] [--leaves N]
//       [--no-dependent-launch] [--many-rows]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "linear_bench.h"
#include "talon/backend/cuda/stream_read.h"
#include "timing.h"

namespace talon::cuda {
namespace {

double MeasureReadBandwidth() {
  constexpr int64_t kBytes = int64_t{4} << 30;
  DeviceBytes data(kBytes);
  DeviceBytes sink(4);
  Check(cudaMemset(data.as<void>(), 0x5A, kBytes), "memset");
  cudaStream_t stream;
  Check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream");
  double best = 0.0;
  for (const int blocks : {528, 1056, 4224}) {
    const double us = MedianGraphUs(stream, [&] {
      Check(LaunchStreamRead(data.as<void>(), kBytes, sink.as<uint32_t>(), blocks, stream), "read");
    });
    best = std::max(best, static_cast<double>(kBytes) / us * 1e-3);
  }
  cudaStreamDestroy(stream);
  return best;
}

LinearFormat FormatOf(const std::string& name) {
  if (name == "nvfp4") return LinearFormat::kNvfp4;
  if (name == "bf16") return LinearFormat::kBF16;
  if (name == "fp8") return LinearFormat::kF8;
  Throw(ErrorCode::kInvalidArgument, "--format {}: expected nvfp4, bf16 or fp8", name);
}

int Main(int argc, char** argv) {
  LinearBenchOptions options;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--no-dependent-launch") {
      options.tuning.dependent_launch = false;
    } else if (flag == "--many-rows") {
      options.many_rows = true;
    } else if (flag == "--leaves" && i + 1 < argc) {
      options.tuning.leaves = std::atoi(argv[++i]);
    } else if (flag == "--format" && i + 1 < argc) {
      options.format = FormatOf(argv[++i]);
    } else if (flag == "--activation-kb" && i + 1 < argc) {
      options.tuning.max_activation_bytes = std::atoi(argv[++i]) * 1024;
    } else if (flag == "--shape" && i + 1 < argc) {
      options.shape = argv[++i];
    } else if (flag == "--rows" && i + 1 < argc) {
      options.rows = {std::atoi(argv[++i])};
    } else if (flag == "--stages" && i + 1 < argc) {
      options.tuning.max_stages = std::atoi(argv[++i]);
    } else {
      std::fprintf(stderr, "unknown flag %s\n", flag.c_str());
      return 2;
    }
  }
  cudaDeviceProp properties;
  Check(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
  options.read_gb_per_s = MeasureReadBandwidth();
  std::printf("%s, %d multiprocessors, streaming read %.0f GB/s\n", properties.name,
              properties.multiProcessorCount, options.read_gb_per_s);
  BenchLinears(options);
  return 0;
}

}  // namespace
}  // namespace talon::cuda

int main(int argc, char** argv) {
  try {
    return talon::cuda::Main(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}

// CudaBackend's measurements: random weights made in device memory, and the read limit.
#include <algorithm>
#include <cmath>

#include "talon/backend/cuda/cuda_backend.h"
#include "talon/backend/cuda/cuda_check.h"
#include "talon/backend/cuda/random_fill.h"
#include "talon/backend/cuda/repack.h"
#include "talon/backend/cuda/stream_read.h"

namespace talon::cuda {

LinearWeight CudaBackend::MakeRandomLinear(LinearFormat format, int64_t out_features,
                                           int64_t in_features, uint64_t seed) {
  const LinearLayout layout = LayoutOf(format, out_features, in_features);
  const int64_t count = out_features * in_features;
  const float deviation = 1.0f / std::sqrt(static_cast<float>(in_features));
  const bool nvfp4 = format == LinearFormat::kNvfp4;
  const bool bf16 = format == LinearFormat::kBF16;
  cudaStream_t stream = Stream();
  const int64_t data_bytes = bf16 ? 2 * count : nvfp4 ? count / 2 : count;
  const Buffer data_memory = Allocate(data_bytes);
  const Buffer scale_memory = Allocate(count / 16 + 8);
  auto* data = static_cast<uint8_t*>(data_memory.get());
  auto* scales = static_cast<uint8_t*>(scale_memory.get());
  if (bf16) {
    Check(LaunchFillBf16(data, count, deviation, seed, stream), "random weights");
  } else {
    Check(LaunchFillBytes(data, data_bytes, 0, nvfp4 ? 255 : 126, seed, stream), "random weights");
    Check(LaunchFillBytes(scales, count / 16, 0x30, 0x40, seed + 1, stream), "random weights");
  }
  LinearWeight weight;
  weight.format = format;
  weight.out_features = out_features;
  weight.in_features = in_features;
  weight.weight_scale = bf16 ? 1.0f : deviation * RandomCodeScale(format);
  const Buffer packed = Allocate(layout.SizeBytes());
  weight.data = packed.get();
  weight.owner = packed;
  auto* nan_found = reinterpret_cast<uint32_t*>(scales + count / 16 / 4 * 4);
  Check(LaunchRepack({format, data, scales}, layout, static_cast<uint8_t*>(packed.get()), nan_found,
                     stream),
        "random weights");
  Synchronize();  // the file form goes away
  return weight;
}

void CudaBackend::FillRandom(const Tensor& to, float deviation, uint64_t seed) {
  Check(LaunchFillBf16(to.data, to.rows * to.cols, deviation, seed, Stream()), "random values");
}

double CudaBackend::MeasureReadBandwidth() {
  constexpr int64_t kBytes = int64_t{4} << 30;
  constexpr int kRepeats = 7;
  const Buffer data = Allocate(kBytes);
  const Buffer sink = Allocate(sizeof(uint32_t));
  cudaStream_t stream = Stream();
  Check(cudaMemsetAsync(data.get(), 0x5A, kBytes, stream), "read bandwidth");
  cudaEvent_t begin, end;
  Check(cudaEventCreate(&begin), "event");
  Check(cudaEventCreate(&end), "event");
  float best_ms = 1e30f;
  for (const int blocks : {528, 1056, 4224}) {
    for (int i = 0; i < kRepeats; ++i) {
      Check(cudaEventRecord(begin, stream), "event");
      Check(
          LaunchStreamRead(data.get(), kBytes, static_cast<uint32_t*>(sink.get()), blocks, stream),
          "read bandwidth");
      Check(cudaEventRecord(end, stream), "event");
      Check(cudaEventSynchronize(end), "read bandwidth");
      float ms = 0.0f;
      Check(cudaEventElapsedTime(&ms, begin, end), "event");
      best_ms = std::min(best_ms, ms);
    }
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  return static_cast<double>(kBytes) / (best_ms * 1e-3);
}

}  // namespace talon::cuda

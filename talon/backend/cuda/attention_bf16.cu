#include "talon/backend/cuda/attention_lanes_launch.cuh"

namespace talon::cuda {

cudaError_t LaunchBf16Attention(const AttentionView& view, cudaStream_t stream) {
  return LaunchLanes<Bf16Cache>(view, stream);
}

}  // namespace talon::cuda

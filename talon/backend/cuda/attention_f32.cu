#include "talon/backend/cuda/attention_lanes_launch.cuh"

namespace talon::cuda {

cudaError_t LaunchF32Attention(const AttentionView& view, cudaStream_t stream) {
  return LaunchLanes<F32Cache>(view, stream);
}

}  // namespace talon::cuda

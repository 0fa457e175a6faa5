#include "talon/backend/cuda/attention_lanes_launch.cuh"

namespace talon::cuda {

cudaError_t LaunchFp8Attention(const AttentionView& view, cudaStream_t stream) {
  return LaunchLanes<Fp8Cache>(view, stream);
}

}  // namespace talon::cuda

#include "talon/backend/cuda/attention_launch.cuh"

namespace talon::cuda {

cudaError_t LaunchF32Attention(const AttentionView& view, cudaStream_t stream) {
  return LaunchAttentionOf<F32Cache>(view, stream);
}

}  // namespace talon::cuda

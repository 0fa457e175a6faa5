#include "talon/backend/cuda/attention_launch.cuh"

namespace talon::cuda {

cudaError_t LaunchBf16Attention(const AttentionView& view, cudaStream_t stream) {
  return LaunchAttentionOf<Bf16Cache>(view, stream);
}

}  // namespace talon::cuda

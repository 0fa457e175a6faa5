#include "talon/backend/cuda/attention_launch.cuh"

namespace talon::cuda {

cudaError_t LaunchFp8Attention(const AttentionView& view, cudaStream_t stream) {
  return LaunchAttentionOf<Fp8Cache>(view, stream);
}

}  // namespace talon::cuda

#include "talon/backend/cuda/attention_tensor_launch.cuh"

namespace talon::cuda {

cudaError_t LaunchBf16TensorAttention(const AttentionView& view, cudaStream_t stream) {
  return LaunchTensor<Bf16Pages>(view, stream);
}

}  // namespace talon::cuda

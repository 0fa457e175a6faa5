#include "talon/backend/cuda/attention_tensor_launch.cuh"

namespace talon::cuda {

cudaError_t LaunchFp8TensorAttention(const AttentionView& view, cudaStream_t stream) {
  return LaunchTensor<Fp8Pages>(view, stream);
}

}  // namespace talon::cuda

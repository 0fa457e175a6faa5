// Launches of attention_tensor.cuh for one page type; included by one source per type.
#pragma once

#include "talon/backend/cuda/attention_launch.cuh"
#include "talon/backend/cuda/attention_tensor.cuh"

namespace talon::cuda {

template <class Pages, int kHeadDim>
cudaError_t LaunchTensorOf(const AttentionView& a, cudaStream_t stream) {
  if (a.num_queries <= kTileColumns) {
    return LaunchWalk<TensorWalk<TensorShape<Pages, kHeadDim, 1>>>(a, stream);
  }
  constexpr int kTiles = MostTensorQueries(kHeadDim) / kTileColumns;
  return LaunchWalk<TensorWalk<TensorShape<Pages, kHeadDim, kTiles>>>(a, stream);
}

template <class Pages>
cudaError_t LaunchTensor(const AttentionView& a, cudaStream_t stream) {
  switch (a.head_dim) {
    case 64:
      return LaunchTensorOf<Pages, 64>(a, stream);
    case 128:
      return LaunchTensorOf<Pages, 128>(a, stream);
    case 256:
      return LaunchTensorOf<Pages, 256>(a, stream);
    case 512:
      return LaunchTensorOf<Pages, 512>(a, stream);
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace talon::cuda

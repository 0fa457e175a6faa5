// Launches of attention_lanes.cuh for one cache type; included by one source per type.
#pragma once

#include "talon/backend/cuda/attention_lanes.cuh"
#include "talon/backend/cuda/attention_launch.cuh"

namespace talon::cuda {

template <class Cache>
cudaError_t LaunchLanes(const AttentionView& a, cudaStream_t stream) {
  constexpr int kQueries = 8;
  if (a.head_dim <= 64) return LaunchWalk<LanesWalk<LanesShape<Cache, kQueries, 2>>>(a, stream);
  if (a.head_dim <= 128) return LaunchWalk<LanesWalk<LanesShape<Cache, kQueries, 4>>>(a, stream);
  if (a.head_dim <= 256) return LaunchWalk<LanesWalk<LanesShape<Cache, kQueries, 8>>>(a, stream);
  return LaunchWalk<LanesWalk<LanesShape<Cache, kQueries, 16>>>(a, stream);
}

}  // namespace talon::cuda

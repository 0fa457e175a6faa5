// Keys and values as attention reads them: a lane's share of a token as raw words first, so that
// many loads are in flight, numbers later.
#pragma once

#include "talon/backend/cuda/element.cuh"

namespace talon::cuda {

// kLane elements of kElementBytes each, consecutive in memory and aligned to their size.
template <int kLane, int kElementBytes>
struct RawElements {
  static constexpr int kBytes = kLane * kElementBytes;
  static constexpr int kWords = (kBytes + 3) / 4;
  uint32_t words[kWords];

  __device__ __forceinline__ void Clear() {
#pragma unroll
    for (int i = 0; i < kWords; ++i) words[i] = 0;
  }
  __device__ __forceinline__ void LoadFrom(const void* from) {
    if constexpr (kBytes >= 16) {
#pragma unroll
      for (int i = 0; i < kBytes / 16; ++i) {
        const uint4 four = static_cast<const uint4*>(from)[i];
        words[4 * i] = four.x;
        words[4 * i + 1] = four.y;
        words[4 * i + 2] = four.z;
        words[4 * i + 3] = four.w;
      }
    } else if constexpr (kBytes == 8) {
      const uint2 two = *static_cast<const uint2*>(from);
      words[0] = two.x;
      words[1] = two.y;
    } else if constexpr (kBytes == 4) {
      words[0] = *static_cast<const uint32_t*>(from);
    } else if constexpr (kBytes == 2) {
      words[0] = *static_cast<const uint16_t*>(from);
    } else {
      words[0] = *static_cast<const uint8_t*>(from);
    }
  }
};

struct Bf16Cache {
  static constexpr int kElementBytes = 2;
  template <int kLane>
  __device__ static __forceinline__ float Value(const RawElements<kLane, 2>& raw, int i) {
    const uint32_t word = raw.words[i / 2];
    return __uint_as_float(i % 2 == 0 ? word << 16 : word & 0xFFFF0000u);
  }
};

struct Fp8Cache {
  static constexpr int kElementBytes = 1;
  template <int kLane>
  __device__ static __forceinline__ float Value(const RawElements<kLane, 1>& raw, int i) {
    return Fp8Value(static_cast<uint8_t>(raw.words[i / 4] >> (i % 4 * 8)));
  }
};

struct F32Cache {
  static constexpr int kElementBytes = 4;
  template <int kLane>
  __device__ static __forceinline__ float Value(const RawElements<kLane, 4>& raw, int i) {
    return __uint_as_float(raw.words[i]);
  }
};

}  // namespace talon::cuda

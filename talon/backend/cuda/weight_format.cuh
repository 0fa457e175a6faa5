// From a chunk of stored weights (linear_layout.h) in shared memory to the A operands of two
// mma.m16n8k16. Every
// decode is exact: the weight without its per-tensor or per-row factor, times a power of two at
// most.
#pragma once

#include "talon/backend/cuda/linear_layout.h"
#include "talon/backend/cuda/nvfp4_bits.h"
#include "talon/backend/cuda/ptx.cuh"

namespace talon::cuda {

// One lane's share of a chunk: registers a[step][4] of the two k16 steps.
struct WeightFragment {
  uint32_t a[2][4];
};

__device__ __forceinline__ uint32_t RotateLeft(uint32_t word, int bits) {
  return __funnelshift_l(word, word, bits);
}

// Pairs 0 and 2 belong to row g, 1 and 3 to row g + 8; `scales` holds theirs in its halves.
__device__ __forceinline__ void DecodeNvfp4Word(uint32_t word, uint32_t scales, uint32_t (&a)[4]) {
  const uint32_t pair3 = ((word << 6) & kPair3LeftMask) | ((word >> 2) & kPair3RightMask);
  a[0] = MulBf16x2(word & kPairMask, LowTwice(scales));
  a[1] = MulBf16x2((word << 4) & kPairMask, HighTwice(scales));
  a[2] = MulBf16x2(RotateLeft(word, 10) & kPairMask, LowTwice(scales));
  a[3] = MulBf16x2(pair3, HighTwice(scales));
}

struct Nvfp4Weights {
  static constexpr LinearFormat kFormat = LinearFormat::kNvfp4;
  static constexpr int kChunkBytes = ChunkBytes(kFormat);
  static constexpr int kStageChunks = 8;  // of a warp's ring

  __device__ static __forceinline__ void Load(uint32_t chunk, int lane, WeightFragment& out) {
    const uint2 words = LoadShared2(chunk + lane * 8);
    const uint32_t scales = LoadShared(chunk + 256 + lane / 4 * 4);
    DecodeNvfp4Word(words.x, MaskOr(scales, kScaleMask, kScaleBias), out.a[0]);
    DecodeNvfp4Word(words.y, MaskOr(RotateLeft(scales, 24), kScaleMask, kScaleBias), out.a[1]);
  }
};

struct Bf16Weights {
  static constexpr LinearFormat kFormat = LinearFormat::kBF16;
  static constexpr int kChunkBytes = ChunkBytes(kFormat);
  static constexpr int kStageChunks = 2;  // of a warp's ring

  __device__ static __forceinline__ void Load(uint32_t chunk, int lane, WeightFragment& out) {
#pragma unroll
    for (int step = 0; step < 2; ++step) {
      const uint4 words = LoadShared4(chunk + step * 512 + lane * 16);
      out.a[step][0] = words.x;
      out.a[step][1] = words.y;
      out.a[step][2] = words.z;
      out.a[step][3] = words.w;
    }
  }
};

struct Fp8Weights {
  static constexpr LinearFormat kFormat = LinearFormat::kF8;
  static constexpr int kChunkBytes = ChunkBytes(kFormat);
  static constexpr int kStageChunks = 4;  // of a warp's ring

  // Two E4M3 codes in the high bytes of the halves: sign kept, exponent and mantissa moved to where
  // BF16 has them (2^-120 times the value), then scaled back.
  __device__ static __forceinline__ uint32_t Pair(uint32_t codes) {
    const uint32_t moved = (codes & 0x80008000u) | ((codes >> 4) & 0x07F007F0u);
    return MulBf16x2(moved, 0x7B807B80u);  // 2^120
  }

  __device__ static __forceinline__ void Load(uint32_t chunk, int lane, WeightFragment& out) {
    const uint4 words = LoadShared4(chunk + lane * 16);
    const uint32_t word[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      out.a[i / 2][2 * (i % 2)] = Pair(__byte_perm(word[i], 0, 0x1404));
      out.a[i / 2][2 * (i % 2) + 1] = Pair(__byte_perm(word[i], 0, 0x3424));
    }
  }
};

}  // namespace talon::cuda

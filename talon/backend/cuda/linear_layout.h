// How a linear's weights lie in device memory: one repacked layout per format that serves the
// few-row and the many-row kernels.
//
// The matrix [out, in] is cut into row tiles of 16, K into S leaves (docs/numerics.md) and a leaf
// into chunks of 32 k. Bytes lie as [row tile][leaf][chunk]; a chunk holds the 16 x 32 weights in
// the order of the A operand of two mma.m16n8k16, so a warp reads whole 16-byte words and
// neighbours in memory are neighbours in time. Lane l of a warp owns rows g = l / 4 and g + 8, and
// of each k16 step the columns 2t, 2t + 1, 2t + 8, 2t + 9 with t = l % 4.
//   NVFP4: 256 bytes, lane l's word of step 0 and step 1 at 8 l (bit layout: nvfp4_bits.h), then 32
//          bytes of scales: word g = {step 0 row g, step 1 row g, step 0 row g + 8, step 1 row g +
//          8}.
//   BF16:  1024 bytes, lane l's four registers of step s at 512 s + 16 l.
//   FP8:   512 bytes, lane l's 16 codes at 16 l: step 0's four register pairs, then step 1's.
// Rows beyond `out` and columns beyond `in` are zero.
#pragma once

#include <cstdint>

#include "talon/numeric/host_linear.h"

namespace talon::cuda {

inline constexpr int kTileRows = 16;
inline constexpr int kChunkK = 32;

constexpr int ChunkBytes(LinearFormat format) {
  switch (format) {
    case LinearFormat::kBF16:
      return 1024;
    case LinearFormat::kF8:
      return 512;
    case LinearFormat::kNvfp4:
      return 288;
  }
  return 0;
}

// The leaves K is split into: docs/numerics.md section 1.
constexpr int LeavesOf(int64_t in_features) {
  for (int leaves = 8; leaves > 1; leaves /= 2) {
    if (in_features % (kChunkK * leaves) == 0) return leaves;
  }
  return 1;
}

struct LinearLayout {
  int64_t out_features = 0;
  int64_t in_features = 0;
  int num_tiles = 0;    // ceil(out / 16)
  int num_leaves = 0;   // S
  int leaf_chunks = 0;  // chunks of 32 k in a leaf
  int chunk_bytes = 0;

  int64_t SizeBytes() const {
    return static_cast<int64_t>(num_tiles) * num_leaves * leaf_chunks * chunk_bytes;
  }
};

constexpr LinearLayout LayoutOf(LinearFormat format, int64_t out_features, int64_t in_features) {
  LinearLayout layout;
  layout.out_features = out_features;
  layout.in_features = in_features;
  layout.num_tiles = static_cast<int>((out_features + kTileRows - 1) / kTileRows);
  layout.num_leaves = LeavesOf(in_features);
  const int64_t chunks = (in_features + kChunkK - 1) / kChunkK;
  layout.leaf_chunks = static_cast<int>(chunks / layout.num_leaves);
  layout.chunk_bytes = ChunkBytes(format);
  return layout;
}

}  // namespace talon::cuda

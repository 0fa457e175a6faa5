// The order in which a dot product over K is added: leaves, lanes, trees (docs/numerics.md 1).
#pragma once

#include <cstdint>

namespace talon::cpu {

inline constexpr int64_t kLanes = 16;

// The largest of 8, 4, 2, 1 leaves that are whole multiples of 32 long; 1 when K is none.
constexpr int64_t LeafCount(int64_t k) {
  for (const int64_t leaves : {8, 4, 2}) {
    if (k % (32 * leaves) == 0) return leaves;
  }
  return 1;
}

// Adds 16 lanes: l + (l + 8), then + 4, + 2, + 1. The order every kernel's lanes are added in.
inline float LaneTree(const float* lanes /* [16] */) {
  float sums[8];
  for (int l = 0; l < 8; ++l) sums[l] = lanes[l] + lanes[l + 8];
  for (int l = 0; l < 4; ++l) sums[l] += sums[l + 4];
  return (sums[0] + sums[2]) + (sums[1] + sums[3]);
}

// Adds 1, 2, 4 or 8 leaf sums: ((l0+l1)+(l2+l3))+((l4+l5)+(l6+l7)).
inline float LeafTree(const float* leaves, int64_t count) {
  if (count == 1) return leaves[0];
  return LeafTree(leaves, count / 2) + LeafTree(leaves + count / 2, count / 2);
}

}  // namespace talon::cpu

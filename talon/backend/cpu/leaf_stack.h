// Leaf sums combined as they come, in the balanced order of docs/numerics.md 1.
#pragma once

#include <cstdint>

namespace talon::cpu {

// A binary counter: after leaf 1 the sum l0+l1 waits at level 1, after leaf 3 (l0+l1)+(l2+l3) at
// level 2. `Sum` has operator+.
template <typename Sum>
class LeafStack {
 public:
  void Push(int64_t leaf, Sum sum) {
    int level = 0;
    for (; (leaf & 1) != 0; leaf >>= 1) sum = levels_[level++] + sum;
    levels_[level] = sum;
  }
  // The total of 1, 2, 4 or 8 leaves.
  Sum Total(int64_t num_leaves) const {
    return levels_[num_leaves == 8 ? 3 : num_leaves == 4 ? 2 : num_leaves - 1];
  }

 private:
  Sum levels_[4];
};

}  // namespace talon::cpu

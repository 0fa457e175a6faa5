// What calibration remembers of one linear's inputs: the largest magnitude, and how the magnitudes
// of 16-element blocks are distributed, so that the share of blocks a given range would clip is
// exact.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "talon/model/forward_batch.h"

namespace talon {

class ActivationRange {
 public:
  // Adds rows [rows, in_features] (host memory, BF16 or F32; F32 is rounded to BF16 first, the type
  // activations have when served). Throws kDataLoss for NaN or infinity.
  void Add(const Tensor& rows, std::string_view linear);

  bool empty() const { return num_blocks_ == 0; }
  float amax() const;
  int64_t num_blocks() const { return num_blocks_; }
  // Share of blocks whose largest magnitude exceeds `range`.
  double ShareAbove(float range) const;
  void Merge(const ActivationRange& other);

 private:
  int64_t num_blocks_ = 0;
  std::vector<int64_t> counts_;  // [0x7F80] blocks by BF16 magnitude bits
};

}  // namespace talon

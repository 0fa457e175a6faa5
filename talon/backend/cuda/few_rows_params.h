// What one launch of the few-row kernel is told. The first lines of memory are what a block needs
// before its first copy can start.
#pragma once

#include <cstdint>

#include "talon/backend/cuda/few_rows.h"

namespace talon::cuda {

struct SegmentOutput {
  const float* row_scales;  // [out] or null
  void* out;                // [rows, out]
  int64_t out_stride;
  float sum_scale;
  int out_features;
  bool out_is_f32;
};

struct FewRowsParams {
  int num_tiles;  // row tiles of all segments
  int num_leaves;
  int leaf_chunks;
  int group_leaves;  // leaves one block combines by itself
  int num_groups;    // num_leaves / group_leaves
  int num_stages;    // depth of a warp's ring
  int stage_chunks;
  int stage_bytes;
  int num_segments;
  int rows;
  int first_tiles[kMaxSegments];  // of each segment
  const uint8_t* weights[kMaxSegments];
  const void* x;  // BF16 [rows, in]
  int64_t x_stride;
  int in_features;
  uint32_t rows_magic;  // 2^32 / rows, rounded up; rows > 1
  float* group_sums;    // [row tile][group][row block][128]
  uint32_t* arrivals;   // [row tile]
  SegmentOutput outputs[kMaxSegments];
};

}  // namespace talon::cuda

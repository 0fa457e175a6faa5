// y = x W^T for 1 to 64 rows: the decode and verification case. Weights are streamed once.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "talon/backend/cuda/linear_layout.h"

namespace talon::cuda {

inline constexpr int kMaxSegments = 4;
// Rows of one launch at most: the widest few-row kernel.
inline constexpr int kFewRows = 32;

// One weight of a launch. Weights that share their input share the launch.
struct LinearSegment {
  const uint8_t* weights = nullptr;   // LinearLayout bytes
  const float* row_scales = nullptr;  // [out] or null
  void* out = nullptr;                // [rows, out], BF16 or F32
  int64_t out_stride = 0;             // elements
  float sum_scale = 1.0f;             // multiplies the finished sum; unused with row_scales
  int out_features = 0;
  bool out_is_f32 = false;
};

struct FewRowsProblem {
  LinearSegment segments[kMaxSegments];
  int num_segments = 0;
  const void* x = nullptr;  // BF16 [rows, in], rows on 16 bytes
  int64_t x_stride = 0;
  int rows = 0;
  int in_features = 0;
  float* group_sums = nullptr;   // GroupSumsBytes
  uint32_t* arrivals = nullptr;  // [row tiles of all segments], zero before and after a launch
};

// Device facts a launch is planned with.
struct DeviceLimits {
  int multiprocessors = 0;
  int shared_bytes = 0;                 // per block, opt-in
  bool has_warpgroup_products = false;  // Hopper
};

// How a launch is cut; only speed depends on it, never a bit of the result.
struct FewRowsTuning {
  int max_activation_bytes = 180 * 1024;
  int max_stages = 2;
  bool dependent_launch = true;  // start before the previous kernel has finished
  // For measurements: leaves other than docs/numerics.md's, hence other bits; 0: the contract's.
  int leaves = 0;
};

// Bytes of group_sums that LaunchFewRows needs for this problem, often none.
int64_t GroupSumsBytes(LinearFormat format, const FewRowsProblem& problem,
                       const DeviceLimits& limits, const FewRowsTuning& tuning);

// Any number of rows; more than one block's shared memory holds are done in slices.
cudaError_t LaunchFewRows(LinearFormat format, const FewRowsProblem& problem,
                          const DeviceLimits& limits, const FewRowsTuning& tuning,
                          cudaStream_t stream);

}  // namespace talon::cuda

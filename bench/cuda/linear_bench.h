// Few-row linears of the 31B at cold L2: every launch of a replay reads other weights.
#pragma once

#include <string>
#include <vector>

#include "talon/backend/cuda/few_rows.h"

namespace talon::cuda {

struct LinearBenchOptions {
  LinearFormat format = LinearFormat::kNvfp4;
  FewRowsTuning tuning;
  double read_gb_per_s = 0.0;  // the measured limit
  std::string shape;           // only shapes whose name holds this
  std::vector<int> rows = {1, 2, 4, 8, 16, 32, 64, 512};
  bool many_rows = false;  // the many-row kernel for every row count
};

void BenchLinears(const LinearBenchOptions& options);

}  // namespace talon::cuda

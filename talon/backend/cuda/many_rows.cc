#include "talon/backend/cuda/many_rows.h"

#include "talon/backend/cuda/many_rows_formats.h"

namespace talon::cuda {

bool PrefersManyRows(const FewRowsProblem& problem, const DeviceLimits& limits) {
  return limits.has_warpgroup_products && problem.rows > kFewRows;
}

cudaError_t LaunchManyRows(LinearFormat format, const FewRowsProblem& problem,
                           const DeviceLimits& limits, cudaStream_t stream) {
  switch (format) {
    case LinearFormat::kNvfp4:
      return LaunchManyRowsNvfp4(problem, limits, stream);
    case LinearFormat::kBF16:
      return LaunchManyRowsBf16(problem, limits, stream);
    case LinearFormat::kF8:
      return LaunchManyRowsFp8(problem, limits, stream);
  }
  return cudaErrorInvalidValue;
}

}  // namespace talon::cuda

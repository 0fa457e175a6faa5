// The choice of a backend by name.
#include "talon/backend/backend.h"
#include "talon/backend/cpu/cpu_backend.h"
#include "talon/backend/cuda_backend.h"
#include "talon/base/error.h"

namespace talon {

std::unique_ptr<Backend> MakeBackend(const BackendOptions& options) {
  if (options.device == "cuda" || (options.device == "auto" && CudaAvailable())) {
    return MakeCudaBackend(options);
  }
  if (options.device == "cpu" || options.device == "auto") {
    return cpu::MakeCpuBackend(options.num_threads);
  }
  Throw(ErrorCode::kInvalidArgument, "unknown device '{}': expected auto, cpu or cuda",
        options.device);
}

}  // namespace talon

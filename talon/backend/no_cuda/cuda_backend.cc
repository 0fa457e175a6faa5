// Stands in for talon/backend/cuda in builds without CUDA.
#include "talon/backend/cuda_backend.h"

#include "talon/base/error.h"

namespace talon {

bool CudaAvailable() { return false; }

std::unique_ptr<Backend> MakeCudaBackend(const BackendOptions&) {
  Throw(ErrorCode::kUnsupported,
        "this build has no CUDA backend; use --device cpu, or build with the `cuda` preset where a "
        "CUDA toolkit is installed");
}

}  // namespace talon

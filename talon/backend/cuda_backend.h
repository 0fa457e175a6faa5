// The CUDA backend's entry: talon/backend/cuda where it is compiled in, talon/backend/no_cuda (a
// clear error) elsewhere; CMake chooses.
#pragma once

#include <memory>

#include "talon/backend/backend.h"

namespace talon {

// True when this build has the CUDA backend and a usable device is there.
bool CudaAvailable();

// Throws kUnsupported when not compiled in or no device is usable, saying which.
std::unique_ptr<Backend> MakeCudaBackend(const BackendOptions& options);

}  // namespace talon

// The CPU backend: ops on host memory, spread over a team of threads.
#pragma once

#include <memory>

#include "talon/backend/backend.h"

namespace talon::cpu {

// `num_threads` 0: one per available core.
std::unique_ptr<Backend> MakeCpuBackend(int num_threads);

}  // namespace talon::cpu

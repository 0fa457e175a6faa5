// The start-up check: every kernel that this device would use against its plain form, on random
// data in real sizes, with the share of the read bandwidth that the few-row kernels reach.
#pragma once

#include <string>
#include <vector>

#include "talon/backend/cuda/cuda_backend.h"

namespace talon::cuda {

// Two orders of the same FP32 sums differ by far less, a wrong kernel by far more.
inline constexpr double kSelfTestError = 1e-4;

// Withdraws trust from what differs by `max_error` or more; returns a line for each kernel.
std::vector<std::string> RunSelfTest(CudaBackend& backend, double max_error = kSelfTestError);

}  // namespace talon::cuda

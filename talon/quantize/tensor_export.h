// Writes the model.safetensors of a quantization plan.
#pragma once

#include <filesystem>

#include "talon/base/thread_pool.h"
#include "talon/quantize/plan.h"

namespace talon {

// Bytes of the tensor data that the plan asks for.
int64_t PlannedBytes(const QuantizationPlan& plan);

void WritePlannedTensors(const QuantizationPlan& plan, const std::filesystem::path& path,
                         ThreadPool& pool);

}  // namespace talon

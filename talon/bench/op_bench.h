// Single ops in the model's shapes: linears at 1 to 64 rows and attention at several contexts.
#pragma once

#include <cstdint>
#include <vector>

#include "talon/bench/bench_report.h"
#include "talon/bench/bench_shapes.h"

namespace talon {

// Every launch of a recording reads other weights, so that caches are cold.
void BenchLinears(const BenchReport& report, const GemmaConfig& config,
                  const std::vector<int64_t>& rows);
// A sliding and a full layer; rows of one sequence, the last at the end of the context.
void BenchAttention(const BenchReport& report, const GemmaConfig& config,
                    const std::vector<int64_t>& contexts, const std::vector<int64_t>& rows);

}  // namespace talon

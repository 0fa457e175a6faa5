// How many positions of KV an evaluation's engine may hold.
#pragma once

#include <cstdint>

#include "talon/model/gemma.h"

namespace talon {

inline constexpr int64_t kEvalKvBytes = int64_t{1} << 30;

// As many positions as kEvalKvBytes pay for, at least one sequence's and at most all sequences'.
int64_t KvCacheTokens(const GemmaConfig& config, DType dtype, int64_t max_num_seqs,
                      int64_t max_positions);

}  // namespace talon

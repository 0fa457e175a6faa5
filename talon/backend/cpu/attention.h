// Attention over paged KV, vectorized. Each query visits its visible pages in ascending order with
// an online softmax; nothing depends on which rows share a task. Reference: reference::Attention.
#pragma once

#include <cstdint>

#include "talon/backend/backend.h"

namespace talon::cpu {

// Rows [row_begin, row_end) of one sequence and one KV head: the unit of parallel work.
struct AttentionTask {
  int64_t sequence = 0;
  int64_t row_begin = 0;
  int64_t row_end = 0;
  int64_t kv_head = 0;
};

// Rows that share the expansion of a page to FP32.
inline constexpr int64_t kAttentionRows = 16;

void RunAttention(const AttentionParams& params, const AttentionTask& task) noexcept;

}  // namespace talon::cpu

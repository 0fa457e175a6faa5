// Attention over paged KV, vectorized. A tile is one page: keys lie [head_dim][16], so a tile's
// scores are 16 lanes; values lie [16][head_dim], so the weighted sum runs along the head. A query
// visits its visible tiles in ascending order with an online softmax; masked tokens never enter a
// sum, and nothing depends on which queries share a task. Reference: reference::Attention.
#pragma once

#include <cstdint>
#include <vector>

#include "talon/backend/backend.h"

namespace talon::cpu {

// Rows [row_begin, row_end) of one sequence for one KV head: the queries that share the expansion
// of a page to FP32.
struct AttentionTask {
  int64_t sequence = 0;
  int64_t row_begin = 0;
  int64_t row_end = 0;
  int64_t kv_head = 0;
};

std::vector<AttentionTask> AttentionTasks(const AttentionParams& params);
void RunAttention(const AttentionParams& params, const AttentionTask& task) noexcept;

}  // namespace talon::cpu

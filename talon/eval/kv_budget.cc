#include "talon/eval/kv_budget.h"

#include <algorithm>

namespace talon {

int64_t KvCacheTokens(const GemmaConfig& config, DType dtype, int64_t max_num_seqs,
                      int64_t max_positions) {
  int64_t elements = 0;
  for (int64_t layer = 0; layer < config.num_layers(); ++layer) {
    const AttentionConfig& attention = config.attention(layer);
    elements += 2 * attention.num_kv_heads * attention.head_dim;
  }
  const int64_t affordable = kEvalKvBytes / (elements * SizeOf(dtype));
  // Whole pages.
  const int64_t one = (max_positions + kKvPageTokens - 1) / kKvPageTokens * kKvPageTokens;
  return std::clamp(affordable, one, max_num_seqs * one);
}

}  // namespace talon

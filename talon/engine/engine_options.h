// How an engine is set up.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "talon/engine/engine_fault.h"
#include "talon/engine/step_costs.h"
#include "talon/numeric/dtype.h"

namespace talon {

// Pages of the two families (kv_pool.h).
struct KvPages {
  int64_t sliding = 0;
  int64_t global = 0;
};

struct EngineOptions {
  int64_t max_num_seqs = 8;
  int64_t max_num_batched_tokens = 2048;  // rows of one step; at least max_num_seqs * (1 + k)
  int64_t max_model_len = 0;              // 0: the verifier's max_position_embeddings
  int64_t num_speculative_tokens = 0;     // k, or the most; needs a drafter when > 0
  // Instead of k: as many drafts as promise the most tokens per second (draft_policy.h).
  bool auto_drafts = false;
  // Instead of k: drafts by the number of decoding requests, [n - 1]; the last for more of them.
  std::vector<int64_t> drafts_by_batch_size;
  std::optional<StepCosts> step_costs;    // for auto_drafts; none: measured when the engine is made
  DType kv_dtype = DType::kBF16;          // kF32 in float32 mode, or kF8E4M3
  std::optional<DType> drafter_kv_dtype;  // none: as the verifier's
  // Most bytes that KV may take; 0: as many as max_num_seqs sequences of max_model_len need.
  int64_t kv_cache_bytes = 0;
  std::optional<KvPages> kv_pages;  // exactly these, instead of what kv_cache_bytes gives
  bool enable_prefix_caching = false;
  // Off: a step holds whole prompts only, and max_num_batched_tokens is at least max_model_len.
  bool enable_chunked_prefill = true;
  // Verifier layers to capture for the feature sink when there is no drafter.
  std::vector<int64_t> capture_layer_ids;
  // For tests: dead KV slots hold NaN; a mistake on purpose.
  bool poison_dead_pages = false;
  EngineFault fault = EngineFault::kNone;
};

}  // namespace talon

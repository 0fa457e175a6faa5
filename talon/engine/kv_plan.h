// The KV cache in numbers, before anything is allocated: pages and bytes of both families.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "talon/checkpoint/model_config.h"
#include "talon/engine/engine_options.h"

namespace talon {

class Drafter;

struct KvPlan {
  KvPages pages;
  KvPages sequence_pages;          // the most that one sequence of max_model_len holds at a time
  int64_t sliding_page_bytes = 0;  // K and V of one page in all sliding layers
  int64_t full_page_bytes = 0;     // in all full layers
  int64_t drafter_page_bytes = 0;  // in the drafter, whose pages are those of the global family
  int64_t max_num_seqs = 0;
  int64_t max_model_len = 0;

  int64_t Bytes(const KvPages& count) const {
    return count.sliding * sliding_page_bytes +
           count.global * (full_page_bytes + drafter_page_bytes);
  }
};

// `options` with max_model_len and max_num_batched_tokens filled in. Throws kInvalidArgument for
// options that do not fit the models. `drafter` may be null.
EngineOptions ResolveEngineOptions(const GemmaConfig& verifier, const Drafter* drafter,
                                   EngineOptions options);

// `options` are resolved. Throws kResourceExhausted, naming the bytes, when kv_cache_bytes does not
// hold one sequence of max_model_len.
KvPlan PlanKv(const GemmaConfig& verifier, const Drafter* drafter, const EngineOptions& options);

// Positions that sliding layers hold for one sequence: the window, and a chunk being prefilled or
// the drafts that may be rolled back.
int64_t MaxSlidingPositions(const GemmaConfig& verifier, const EngineOptions& options);

// One line per family and the total, for people.
std::vector<std::string> FormatKvPlan(const KvPlan& plan);

}  // namespace talon

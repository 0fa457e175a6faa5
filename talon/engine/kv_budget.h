// How many bytes the KV cache may take, from the memory that is there and the share of it that this
// process may use (vLLM's gpu_memory_utilization).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "talon/backend/backend.h"
#include "talon/checkpoint/model_config.h"
#include "talon/engine/engine_options.h"

namespace talon {

class Drafter;

struct KvBudget {
  int64_t total_bytes = 0;    // what the device has
  double utilization = 0.0;   // of it, 0 .. 1
  int64_t used_bytes = 0;     // weights and other programs
  int64_t scratch_bytes = 0;  // activations of the largest step

  int64_t kv_bytes() const {
    return static_cast<int64_t>(utilization * static_cast<double>(total_bytes)) - used_bytes -
           scratch_bytes;
  }
};

// `weight_bytes`: of all checkpoints in use. Throws kResourceExhausted when nothing is left.
KvBudget MakeKvBudget(const DeviceMemory& memory, double utilization, int64_t weight_bytes,
                      int64_t scratch_bytes);

// Activations that the engine's arena holds for a step of max_num_batched_tokens rows in which
// max_num_seqs sequences decode. `options` are resolved; `drafter` may be null.
int64_t StepScratchBytes(const GemmaConfig& verifier, const Drafter* drafter, DType dtype,
                         const EngineOptions& options);

// The longest max_model_len, up to the verifier's positions, of which one request fits into
// `kv_bytes`. Throws kResourceExhausted when not even one page of tokens does.
int64_t FitMaxModelLen(const GemmaConfig& verifier, const Drafter* drafter, EngineOptions options,
                       int64_t kv_bytes);

// A table for people.
std::vector<std::string> FormatKvBudget(const KvBudget& budget);

}  // namespace talon

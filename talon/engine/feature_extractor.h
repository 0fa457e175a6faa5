// Runs the verifier over whole texts (no decoding) and captures the drafter's inputs: the residual
// streams of its aux layers at every position.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "talon/engine/kv_pool.h"

namespace talon {

class FeatureExtractor {
 public:
  // Holds KV for one text of up to `max_positions`. `aux_layer_ids` may be empty (observing only).
  FeatureExtractor(const GemmaModel& verifier, std::vector<int64_t> aux_layer_ids,
                   int64_t max_positions);

  // Features [tokens, aux layers * hidden] of a text, valid until the next call. `observer` sees
  // the inputs of the verifier's linears.
  Tensor Run(std::span<const int32_t> tokens, LinearObserver* observer = nullptr);

 private:
  const GemmaModel& verifier_;
  std::vector<int64_t> aux_layer_ids_;
  int64_t max_positions_;
  KvPool pool_;
  SequencePages pages_;
  Arena arena_;
};

}  // namespace talon

// Records traces: runs the verifier greedily over many prompts at once and keeps the tokens and the
// drafter's inputs. Prompts that the store holds already are not run again.
#pragma once

#include <cstdint>
#include <vector>

#include "talon/eval/eval_data.h"
#include "talon/eval/trace_store.h"
#include "talon/model/gemma.h"

namespace talon {

struct RecorderOptions {
  int64_t max_num_seqs = 32;
  int64_t max_positions = 0;                // of one sequence: prompt, answer and tail
  int64_t shard_bytes = int64_t{64} << 20;  // finished traces held before they are written
  double shard_seconds = 30;                // and for how long
};

struct Recording {
  std::vector<TraceKey> keys;  // of all prompts, turns of a row together, in data order
  int64_t recorded = 0;        // the rest came from the store
  int64_t answer_tokens = 0;   // of those recorded
  double seconds = 0;
};

// Max tokens, stop ids, aux layers and tail length are those of the store's manifest. Throws
// kFailedPrecondition when a stored trace answers another prompt than `data` has.
Recording RecordTraces(const GemmaModel& verifier, EvalData& data, TraceStore& store,
                       const RecorderOptions& options);

}  // namespace talon

// Decodes prompts through the engine and holds the result against the traces: the text must be that
// of the run without drafts, the rounds those of the replay. Timed one request at a time, it also
// gives tokens per second with and without drafts.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "talon/engine/request.h"
#include "talon/eval/trace_store.h"
#include "talon/model/drafter.h"
#include "talon/model/gemma.h"

namespace talon {

struct LiveOptions {
  int64_t num_speculative_tokens = 0;  // 0: without drafts
  int64_t max_num_seqs = 1;
  int64_t max_positions = 0;  // of one sequence
};

// One prompt's decode; times from its submission when max_num_seqs is 1.
struct LiveAnswer {
  std::vector<int32_t> tokens;
  std::vector<Round> rounds;
  double first_token_seconds = 0;
  double total_seconds = 0;
};

struct LiveRun {
  std::vector<LiveAnswer> answers;  // in the order of `keys`
  double seconds = 0;               // wall time of all
};

// Decodes the prompts of `keys` greedily. `drafter` may be null.
LiveRun DecodeLive(const GemmaModel& verifier, const Drafter* drafter, const TraceStore& store,
                   std::span<const TraceKey> keys, const LiveOptions& options);

// One sentence per prompt whose text or rounds differ from the trace and from `replayed`, [keys]
// lists of rounds (empty span: rounds are not compared).
std::vector<std::string> LiveDifferences(const LiveRun& run, const TraceStore& store,
                                         std::span<const TraceKey> keys,
                                         std::span<const std::vector<Round>> replayed);

}  // namespace talon

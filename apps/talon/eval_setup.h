// What `talon trace` and `talon eval` share: their flags, and recording the traces of a data set.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "apps/talon/session.h"
#include "talon/base/atomic_output.h"
#include "talon/eval/eval_data.h"
#include "talon/eval/recorder.h"
#include "talon/eval/trace_store.h"

namespace talon {

struct EvalFlags {
  SessionFlags session;
  std::vector<std::string> drafters;
  std::vector<std::string> data;
  std::vector<int64_t> num_speculative_tokens = {5};
  int64_t max_tokens = 128;
  int64_t max_prompts = 0;
  std::string turns = "first";
  std::string trace;
  int64_t max_num_seqs = 32;
};

// All flags but --drafter and --trace, whose meaning differs between the two commands.
void AddEvalFlags(CLI::App& command, EvalFlags& flags);

struct EvalSetup {
  Session session;
  std::unique_ptr<EvalData> data;
  std::unique_ptr<UnfinishedPath> temporary;  // holds the store when no --trace folder was given
  std::unique_ptr<TraceStore> store;
  int64_t max_positions = 0;  // of verifier and drafters
};

// Opens verifier, data and store. Throws one sentence naming what is missing, wrong or does not
// belong together.
EvalSetup PrepareEval(const EvalFlags& flags);

// Records what the store lacks and tells on stderr what was done and skipped.
Recording RecordAll(const EvalFlags& flags, EvalSetup& setup);

}  // namespace talon

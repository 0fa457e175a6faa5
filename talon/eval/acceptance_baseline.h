// What `talon eval --record` leaves beside a drafter: a handful of prompts and how many drafts were
// accepted on them, so that a server can see whether it still accepts as many.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "talon/eval/eval_report.h"
#include "talon/eval/trace_store.h"

namespace talon {

struct BaselinePrompt {
  std::string id;
  std::vector<int32_t> prompt_ids;
  int64_t max_tokens = 0;
  int64_t drafts = 0;    // rounds, as AcceptanceCounts counts them
  int64_t accepted = 0;  // drafts that were right
};

struct AcceptanceBaseline {
  std::string verifier_identity;  // CheckpointIdentity
  std::string drafter_identity;
  std::string numerics;  // of the drafter when it was measured
  int64_t k = 0;         // drafts a round
  std::vector<int32_t> stop_token_ids;
  std::vector<BaselinePrompt> prompts;

  AcceptanceCounts Total() const;
};

// The shortest prompts of each category, 8 in all, with the rounds of their first 64 tokens.
// `keys` are those of run.rounds.
AcceptanceBaseline MakeBaseline(const TraceStore& store, std::span<const TraceKey> keys,
                                const DrafterRun& run);

// talon_acceptance.json in the drafter's folder.
std::filesystem::path BaselinePath(const std::filesystem::path& drafter);
void WriteBaseline(const std::filesystem::path& drafter, const AcceptanceBaseline& baseline);
// nullopt when there is none. Throws kDataLoss naming file and field when it is malformed.
std::optional<AcceptanceBaseline> ReadBaseline(const std::filesystem::path& drafter);

}  // namespace talon

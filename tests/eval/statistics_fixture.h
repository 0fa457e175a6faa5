// Per-round records of the vLLM fixture traces, in the form the statistics take.
#pragma once

#include <string>
#include <vector>

#include "talon/eval/acceptance.h"
#include "tests/support/test_data.h"
#include "tests/support/trace_fixture.h"

namespace talon::test {

inline std::vector<PromptRounds> FixtureRounds(const std::string& name,
                                               const std::string& category = "") {
  std::vector<PromptRounds> prompts;
  for (const SpeculativeTrace& trace : ReadTraceFixture(TestData("vllm-eagle3/" + name))) {
    if (!category.empty() && trace.category != category) continue;
    PromptRounds prompt{trace.id, trace.category, {}};
    for (size_t r = 0; r < trace.accepted_per_round.size(); ++r) {
      prompt.rounds.push_back({trace.drafts_per_round[r], trace.accepted_per_round[r]});
    }
    prompts.push_back(std::move(prompt));
  }
  return prompts;
}

}  // namespace talon::test

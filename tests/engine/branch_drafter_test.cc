// Drafts from every position against the rounds of real vLLM: where one of its rounds starts, the
// branch that starts there must draft the same tokens. Needs ../shared/models/tiny-gemma4/verifier.
#include "talon/engine/branch_drafter.h"

#include <gtest/gtest.h>

#include <numeric>

#include "talon/engine/feature_extractor.h"
#include "talon/model/load.h"
#include "tests/support/test_data.h"
#include "tests/support/trace_fixture.h"

namespace talon::test {
namespace {

constexpr int64_t kDrafts = 5;
constexpr int64_t kMaxBranches = 7;  // so that the starts of a text take several batches
constexpr int64_t kMaxPositions = 2048;
constexpr size_t kEveryNthTrace = 10;

// The state at position p continues token p + 1; the first round continues the first answer token.
void ExpectVllmDrafts(const SpeculativeTrace& trace, const DraftIds& drafts) {
  size_t start = 0;
  for (size_t round = 0; round < trace.drafts_per_round.size(); ++round) {
    ASSERT_LT(start, drafts.size());
    EXPECT_EQ(drafts[start], trace.drafts_per_round[round]) << trace.id << " round " << round;
    start += static_cast<size_t>(trace.accepted_per_round[round]) + 1;
  }
}

TEST(BranchDrafter, DraftsWhatVllmDraftsAtTheStartOfItsRounds) {
  const auto verifier_path = SharedPath("models/tiny-gemma4/verifier");
  TALON_REQUIRE_PATH(verifier_path);
  const std::unique_ptr<Backend> backend = MakeBackend({TestDevice(), 0});
  const ModelOptions options = {DType::kF32, LinearNumerics::kWeightOnly};
  const LoadedVerifier verifier = LoadVerifier(*backend, verifier_path, options);
  const LoadedDrafter drafter =
      LoadDrafter(SharedPath("models/tiny-gemma4/drafter"), options, *verifier.model);
  const auto ids = drafter.model->aux_layer_ids();
  FeatureExtractor extractor(*verifier.model, {ids.begin(), ids.end()}, kMaxPositions);
  BranchDrafter branches(*backend, *drafter.model, DType::kF32, kMaxPositions, kMaxBranches,
                         kDrafts);
  const auto traces = ReadTraceFixture(TestData("vllm-eagle3/traces_fp32.json"));
  for (size_t i = 0; i < traces.size(); i += kEveryNthTrace) {
    std::vector<int32_t> tokens = traces[i].prompt_ids;
    tokens.insert(tokens.end(), traces[i].output_ids.begin(), traces[i].output_ids.end());
    const auto rows = static_cast<int64_t>(tokens.size()) - 1;
    std::vector<int64_t> starts(traces[i].output_ids.size());
    std::iota(starts.begin(), starts.end(), rows - std::ssize(starts));
    ExpectVllmDrafts(traces[i],
                     branches.Draft(tokens, extractor.Run(tokens).Rows(0, rows), starts, kDrafts));
  }
}

}  // namespace
}  // namespace talon::test

// The comparison behind `talon verify-lossless`: it covers what it promises, and it finds faults.
#include "talon/engine/lossless_check.h"

#include <gtest/gtest.h>

#include <set>

#include "talon/engine/kv_plan.h"
#include "talon/engine/lossless_settings.h"
#include "tests/engine/micro_pair.h"

namespace talon::test {
namespace {

EngineOptions Served(const MicroPair& pair) {
  EngineOptions options;
  options.num_speculative_tokens = 3;
  options.poison_dead_pages = true;
  return ResolveEngineOptions(pair.verifier.model->config(), pair.drafter.model.get(), options);
}

LosslessCheck Check(const MicroPair& pair, const std::vector<GenerationRequest>& requests) {
  return {requests, Answer(pair, LosslessReference(Served(pair)), requests)};
}

TEST(LosslessSettings, EverySettingIsPutToTheTestAndChangesNothing) {
  const MicroPair pair;
  const auto requests = MixedRequests(2, 8);
  const LosslessCheck check = Check(pair, requests);
  std::set<std::string> names;
  for (const LosslessSetting& setting : LosslessSettings(
           pair.verifier.model->config(), Served(pair), true, {.requests = requests})) {
    SCOPED_TRACE(setting.name);
    EXPECT_TRUE(names.insert(setting.name).second);
    Engine engine(*pair.verifier.model, pair.drafter.model.get(), setting.options);
    const LosslessOutcome outcome = check.Run(engine, setting.passes);
    EXPECT_TRUE(outcome.divergences.empty());
    EXPECT_EQ(outcome.requests, 8 * setting.passes.count);
    EXPECT_EQ(outcome.accepted_drafts > 0, setting.options.num_speculative_tokens > 0);
    EXPECT_EQ(outcome.cached_tokens > 0, setting.options.enable_prefix_caching);
    EXPECT_EQ(outcome.preemptions > 0, setting.name.starts_with("preempted"));
  }
  for (int k = 1; k <= 8; ++k) {
    const std::string drafts = std::to_string(k) + (k == 1 ? " draft, " : " drafts, ");
    EXPECT_TRUE(names.contains(drafts + "alone"));
    EXPECT_TRUE(names.contains(drafts + "8 at a time"));
  }
}

TEST(LosslessSettings, ThreadsAndTheUsersOwnOptions) {
  const MicroPair pair;
  EngineOptions served = Served(pair);
  served.max_num_seqs = 20;
  served.kv_dtype = DType::kF8E4M3;
  const std::vector<int> threads = {1, 5};
  const auto settings =
      LosslessSettings(pair.verifier.model->config(), served, true,
                       {.requests = MixedRequests(2, 2), .thread_counts = threads});
  std::vector<int> found;
  for (const LosslessSetting& setting : settings) {
    EXPECT_EQ(setting.options.kv_dtype, DType::kF8E4M3);
    EXPECT_TRUE(setting.options.max_num_seqs == 20 || setting.options.max_num_seqs == 1);
    if (setting.threads > 0) found.push_back(setting.threads);
  }
  EXPECT_EQ(found, threads);
}

TEST(LosslessCheck, NamesWhereAnswersPart) {
  const MicroPair pair;
  const auto requests = MixedRequests(3, 3);
  auto expected = Answer(pair, LosslessReference(Served(pair)), requests);
  ASSERT_GT(expected[1].tokens.size(), 8u);
  const std::vector<int32_t> right = expected[1].tokens;
  Engine engine(*pair.verifier.model, pair.drafter.model.get(), Served(pair));

  expected[1].tokens[7] += 1;
  LosslessOutcome outcome = LosslessCheck(requests, expected).Run(engine, {.count = 2});
  ASSERT_EQ(outcome.divergences.size(), 2u);
  EXPECT_EQ(outcome.divergences[1].pass, 1);
  EXPECT_EQ(outcome.divergences[0].request, 1u);
  EXPECT_EQ(outcome.divergences[0].position, 7u);
  EXPECT_EQ(outcome.divergences[0].expected, right[7] + 1);
  EXPECT_EQ(outcome.divergences[0].actual, right[7]);

  expected[1].tokens = right;
  expected[1].tokens.push_back(9);  // the answer should have been longer
  outcome = LosslessCheck(requests, expected).Run(engine, {});
  ASSERT_EQ(outcome.divergences.size(), 1u);
  EXPECT_EQ(outcome.divergences[0].position, right.size());
  EXPECT_EQ(outcome.divergences[0].expected, 9);
  EXPECT_EQ(outcome.divergences[0].actual, -1);
}

TEST(LosslessCheckMutants, APageOfAnotherTextIsFound) {
  const MicroPair pair;
  // Blocks 4 and 5 are the same in both texts, what comes before them is not.
  const std::vector<int32_t> common = MicroIds(4, 33);
  std::vector<GenerationRequest> requests;
  for (uint32_t i = 0; i < 3; ++i) {
    std::vector<int32_t> prompt = MicroIds(i < 2 ? 60 + i : 60, 64);
    // The third text has the first one's beginning and the second one's end.
    if (i != 0) prompt.insert(prompt.end(), common.begin(), common.end());
    if (i == 0) prompt.push_back(common[0]);
    requests.push_back(MicroRequest(prompt, 256));
  }
  EngineOptions options = Served(pair);
  options.enable_prefix_caching = true;
  options.max_num_seqs = 1;
  const LosslessCheck check = Check(pair, requests);
  Engine right(*pair.verifier.model, pair.drafter.model.get(), options);
  EXPECT_TRUE(check.Run(right, {}).divergences.empty());
  options.fault = EngineFault::kHashWithoutParent;
  Engine wrong(*pair.verifier.model, pair.drafter.model.get(), options);
  const LosslessOutcome outcome = check.Run(wrong, {});
  ASSERT_EQ(outcome.divergences.size(), 1u);
  EXPECT_EQ(outcome.divergences[0].request, 2u);
}

}  // namespace
}  // namespace talon::test

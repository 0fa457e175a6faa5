// The engine's promise: an answer is the same token by token with and without drafts, alone and
// among others, with prefix cache and without, after preemption, for any chunk size and number of
// threads, greedy and seeded - whatever the drafter does. Here with trained models, whose drafts
// are often right and whose logits have near-ties; stress_test.cc has more of everything.
#include <gtest/gtest.h>

#include "talon/base/error.h"
#include "talon/engine/engine.h"
#include "tests/engine/answers.h"
#include "tests/engine/demo_pair.h"
#include "tests/support/test_data.h"

namespace talon::test {
namespace {

constexpr int64_t kTokens = 256;

std::vector<GenerationRequest> Requests(int count) {
  std::vector<GenerationRequest> requests;
  for (int i = 0; i < count; ++i) {
    requests.push_back(RandomRequest(static_cast<uint32_t>(i), i % 2 == 0 ? 0.0 : 1.0, kTokens));
  }
  return requests;
}

std::vector<GenerationResult> Answer(const DemoPair& pair, const EngineOptions& options,
                                     std::vector<GenerationRequest> requests,
                                     EngineCounters* counters = nullptr) {
  return test::Answer(*pair.verifier.model, pair.drafter.model.get(), options, std::move(requests),
                      counters);
}

TEST(Lossless, PreemptionAndPrefixCacheChangeNoToken) {
  TALON_REQUIRE_PATH(DemoPath("verifier"));
  const DemoPair pair;
  EngineOptions alone;
  alone.max_num_seqs = 1;
  const auto expected = Texts(Answer(pair, alone, Requests(4)));
  for (const auto& text : expected) ASSERT_EQ(text.size(), static_cast<size_t>(kTokens));

  EngineOptions together;
  together.num_speculative_tokens = 3;
  const auto drafted = Answer(pair, together, Requests(4));
  EXPECT_EQ(Texts(drafted), expected);
  EXPECT_GT(AcceptedDrafts(drafted), 100) << "the drafter is often right";

  EngineOptions crowded;
  crowded.num_speculative_tokens = 8;
  crowded.max_num_batched_tokens = 64;
  crowded.enable_prefix_caching = true;
  crowded.poison_dead_pages = true;
  crowded.kv_pages = {60, 60};
  EngineCounters counters;
  const DemoPair single(1);
  EXPECT_EQ(Texts(Answer(single, crowded, Requests(4), &counters)), expected);
  EXPECT_GT(counters.preemptions, 0);
}

TEST(Lossless, DraftsBatchesChunksAndThreadsChangeNoToken) {
  TALON_REQUIRE_PATH(DemoPath("verifier"));
  const DemoPair pair;
  EngineOptions plain;
  plain.max_num_seqs = 1;
  const auto expected = Texts(Answer(pair, plain, Requests(6)));
  for (const auto& text : expected) ASSERT_EQ(text.size(), static_cast<size_t>(kTokens));
  for (const int64_t k : {1, 3, 5, 8}) {
    EngineOptions options;
    options.max_num_seqs = k == 3 ? 1 : 6;
    options.num_speculative_tokens = k;
    options.max_num_batched_tokens = k == 5 ? 64 : 2048;
    const auto results = Answer(pair, options, Requests(6));
    EXPECT_EQ(Texts(results), expected) << "k = " << k;
    EXPECT_GT(AcceptedDrafts(results), 0);
  }
  const DemoPair single(1);
  EngineOptions options;
  options.max_num_seqs = 3;
  options.num_speculative_tokens = 2;
  EXPECT_EQ(Texts(Answer(single, options, Requests(6))), expected) << "one thread";
}

TEST(Lossless, LaterRequestsEqualEarlierOnesAndPagesComeBack) {
  TALON_REQUIRE_PATH(DemoPath("verifier"));
  const DemoPair pair;
  EngineOptions options;
  options.num_speculative_tokens = 3;
  options.max_num_seqs = 2;
  Engine engine(*pair.verifier.model, pair.drafter.model.get(), options);
  const auto first = engine.Generate({RandomRequest(7, 0.0, kTokens)});
  engine.Generate(Requests(4));
  const auto later =
      engine.Generate({RandomRequest(7, 0.0, kTokens), RandomRequest(9, 1.0, kTokens)});
  EXPECT_EQ(later[0].tokens, first[0].tokens);
  EXPECT_EQ(engine.kv_pool().global().free_pages(), engine.kv_pool().global().num_pages());
  EXPECT_EQ(engine.kv_pool().sliding().free_pages(), engine.kv_pool().sliding().num_pages());
}

TEST(Engine, RefusesRequestsThatCanNeverRun) {
  TALON_REQUIRE_PATH(DemoPath("verifier"));
  const DemoPair pair;
  Engine engine(*pair.verifier.model, pair.drafter.model.get(), EngineOptions());
  GenerationRequest request;
  EXPECT_THROW(engine.Submit(request), Error) << "empty prompt";
  request.prompt_ids = {2, 8192};
  EXPECT_THROW(engine.Submit(request), Error) << "id outside the vocabulary";
  request.prompt_ids.assign(2048, 2);
  EXPECT_THROW(engine.Submit(request), Error) << "no room in the context";
  request.prompt_ids = {2};
  request.max_tokens = 0;
  EXPECT_THROW(engine.Submit(request), Error) << "nothing to generate";
}

TEST(Engine, CancelledRequestsFreeTheirPagesAtOnce) {
  TALON_REQUIRE_PATH(DemoPath("verifier"));
  const DemoPair pair;
  EngineOptions options;
  options.max_num_seqs = 1;
  Engine engine(*pair.verifier.model, pair.drafter.model.get(), options);
  const int64_t running = engine.Submit(RandomRequest(1, 0.0, kTokens));
  const int64_t queued = engine.Submit(RandomRequest(2, 0.0, kTokens));
  engine.Step();
  engine.Cancel(queued);
  engine.Cancel(running);
  EXPECT_TRUE(engine.idle());
  EXPECT_EQ(engine.kv_pool().global().free_pages(), engine.kv_pool().global().num_pages());
}

}  // namespace
}  // namespace talon::test

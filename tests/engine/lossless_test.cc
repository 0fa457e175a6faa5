// The engine's promise: an answer is the same token by token with and without drafts, alone and
// among others, for any chunk size and number of threads, greedy and seeded - whatever the drafter
// does.
#include <gtest/gtest.h>

#include "talon/base/error.h"
#include "talon/engine/engine.h"
#include "tests/engine/demo_pair.h"
#include "tests/support/test_data.h"

namespace talon::test {
namespace {

constexpr int64_t kTokens = 256;

using Pair = DemoPair;

GenerationRequest Request(uint32_t seed, double temperature) {
  return RandomRequest(seed, temperature, kTokens);
}

std::vector<GenerationRequest> Requests(int count) {
  std::vector<GenerationRequest> requests;
  for (int i = 0; i < count; ++i) {
    requests.push_back(Request(static_cast<uint32_t>(i), i % 2 == 0 ? 0.0 : 1.0));
  }
  return requests;
}

std::vector<std::vector<int32_t>> Answers(const Pair& pair, std::vector<GenerationRequest> requests,
                                          const EngineOptions& options,
                                          std::vector<Round>* rounds = nullptr) {
  Engine engine(*pair.verifier.model, pair.drafter.model.get(), options);
  std::vector<std::vector<int32_t>> texts;
  for (GenerationResult& result : engine.Generate(std::move(requests))) {
    texts.push_back(std::move(result.tokens));
    if (rounds != nullptr)
      rounds->insert(rounds->end(), result.rounds.begin(), result.rounds.end());
  }
  return texts;
}

TEST(Lossless, DraftsBatchesChunksAndThreadsChangeNoToken) {
  TALON_REQUIRE_PATH(DemoPath("verifier"));
  const Pair pair;
  EngineOptions plain;
  plain.max_num_seqs = 1;
  const auto expected = Answers(pair, Requests(6), plain);
  for (const auto& text : expected) ASSERT_EQ(text.size(), static_cast<size_t>(kTokens));
  for (const int64_t k : {1, 3, 5, 8}) {
    EngineOptions options;
    options.max_num_seqs = k == 3 ? 1 : 6;
    options.num_speculative_tokens = k;
    options.max_num_batched_tokens = k == 5 ? 64 : 2048;
    std::vector<Round> rounds;
    EXPECT_EQ(Answers(pair, Requests(6), options, &rounds), expected) << "k = " << k;
    EXPECT_FALSE(rounds.empty());
  }
  const Pair single(1);
  EngineOptions options;
  options.max_num_seqs = 3;
  options.num_speculative_tokens = 2;
  EXPECT_EQ(Answers(single, Requests(6), options), expected) << "one thread";
}

TEST(Lossless, LaterRequestsEqualEarlierOnes) {
  TALON_REQUIRE_PATH(DemoPath("verifier"));
  const Pair pair;
  EngineOptions options;
  options.num_speculative_tokens = 3;
  options.max_num_seqs = 2;
  Engine engine(*pair.verifier.model, pair.drafter.model.get(), options);
  const auto first = engine.Generate({Request(7, 0.0)});
  engine.Generate(Requests(4));
  const auto later = engine.Generate({Request(7, 0.0), Request(9, 1.0)});
  EXPECT_EQ(later[0].tokens, first[0].tokens);
}

TEST(Lossless, PagesComeBack) {
  TALON_REQUIRE_PATH(DemoPath("verifier"));
  const Pair pair;
  EngineOptions options;
  options.num_speculative_tokens = 3;
  options.max_num_seqs = 2;
  Engine engine(*pair.verifier.model, pair.drafter.model.get(), options);
  engine.Generate(Requests(5));
  EXPECT_EQ(engine.kv_pool().global().free_pages(), engine.kv_pool().global().num_pages());
  EXPECT_EQ(engine.kv_pool().sliding().free_pages(), engine.kv_pool().sliding().num_pages());
}

TEST(Engine, RefusesRequestsThatCanNeverRun) {
  TALON_REQUIRE_PATH(DemoPath("verifier"));
  const Pair pair;
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
  const Pair pair;
  EngineOptions options;
  options.max_num_seqs = 1;
  Engine engine(*pair.verifier.model, pair.drafter.model.get(), options);
  const int64_t running = engine.Submit(Request(1, 0.0));
  const int64_t queued = engine.Submit(Request(2, 0.0));
  engine.Step();
  engine.Cancel(queued);
  engine.Cancel(running);
  EXPECT_TRUE(engine.idle());
  EXPECT_EQ(engine.kv_pool().global().free_pages(), engine.kv_pool().global().num_pages());
}

}  // namespace
}  // namespace talon::test

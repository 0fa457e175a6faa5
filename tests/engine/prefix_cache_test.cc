// The prefix cache: what is found, what is not, and that neither text nor drafts depend on it.
#include <gtest/gtest.h>

#include "tests/engine/micro_pair.h"

namespace talon::test {
namespace {

EngineOptions Caching(int64_t k) {
  EngineOptions options;
  options.num_speculative_tokens = k;
  options.enable_prefix_caching = true;
  options.poison_dead_pages = true;
  return options;
}

std::vector<int32_t> Joined(std::vector<int32_t> first, const std::vector<int32_t>& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

void ExpectSameRounds(const GenerationResult& actual, const GenerationResult& expected) {
  EXPECT_EQ(actual.tokens, expected.tokens);
  ASSERT_EQ(actual.rounds.size(), expected.rounds.size());
  for (size_t i = 0; i < actual.rounds.size(); ++i) {
    EXPECT_EQ(actual.rounds[i].drafts, expected.rounds[i].drafts) << "round " << i;
    EXPECT_EQ(actual.rounds[i].accepted, expected.rounds[i].accepted) << "round " << i;
  }
}

// Answers `first`, then `second`, in one engine with a prefix cache; compares the second answer and
// all of its drafts with those of an engine that knows nothing. Returns the tokens found.
int64_t CheckSecondAnswer(const MicroPair& pair, int64_t k, const std::vector<int32_t>& first,
                          const std::vector<int32_t>& second) {
  EngineOptions plain = Caching(k);
  plain.enable_prefix_caching = false;
  const GenerationRequest request = MicroRequest(second, 60, 0.8, 7);
  const GenerationResult expected = Answer(pair, plain, {request})[0];
  const Drafter* drafter = k > 0 ? pair.drafter.model.get() : nullptr;
  Engine engine(*pair.verifier.model, drafter, Caching(k));
  engine.Generate({MicroRequest(first, 5)});
  const GenerationResult actual = engine.Generate({request})[0];
  ExpectSameRounds(actual, expected);
  EXPECT_EQ(engine.counters().prefix_cache_hits, actual.num_cached_tokens);
  return actual.num_cached_tokens;
}

TEST(PrefixCache, FindsWholeBlocksAndLeavesOneToken) {
  const MicroPair pair;
  const std::vector<int32_t> prompt = MicroIds(1, 100);
  for (const int64_t k : {0, 3}) {
    EXPECT_EQ(CheckSecondAnswer(pair, k, prompt, prompt), 96) << k;
    EXPECT_EQ(CheckSecondAnswer(pair, k, prompt, Joined(prompt, MicroIds(2, 50))), 96) << k;
    // 96 tokens are six blocks, of which the last holds the one token that has to be computed.
    const std::vector<int32_t> exact(prompt.begin(), prompt.begin() + 96);
    EXPECT_EQ(CheckSecondAnswer(pair, k, prompt, exact), 80) << k;
    EXPECT_EQ(CheckSecondAnswer(pair, k, prompt, MicroIds(3, 100)), 0) << k;
  }
}

TEST(PrefixCache, PromptsThatPartAtABlockBoundaryComputeTheBlockAgainForTheDrafter) {
  const MicroPair pair;
  const std::vector<int32_t> common = MicroIds(4, 64);
  const std::vector<int32_t> first = Joined(common, MicroIds(5, 40));
  const std::vector<int32_t> second = Joined(common, MicroIds(6, 40));
  ASSERT_NE(first[64], second[64]);
  EXPECT_EQ(CheckSecondAnswer(pair, 4, first, second), 48)
      << "the drafter's slot 63 depends on token 64";
  EXPECT_EQ(CheckSecondAnswer(pair, 0, first, second), 64) << "no drafter: nothing depends on it";
}

TEST(PrefixCache, PromptsThatPartInsideABlock) {
  const MicroPair pair;
  const std::vector<int32_t> common = MicroIds(7, 72);
  EXPECT_EQ(
      CheckSecondAnswer(pair, 4, Joined(common, MicroIds(8, 30)), Joined(common, MicroIds(9, 30))),
      64);
}

TEST(PrefixCache, FindsEarlierAnswersToo) {
  const MicroPair pair;
  EngineOptions options = Caching(4);
  Engine engine(*pair.verifier.model, pair.drafter.model.get(), options);
  const std::vector<int32_t> prompt = MicroIds(10, 50);
  const GenerationResult first = engine.Generate({MicroRequest(prompt, 100)})[0];
  const std::vector<int32_t> next = Joined(Joined(prompt, first.tokens), MicroIds(11, 20));
  const GenerationResult second = engine.Generate({MicroRequest(next, 60)})[0];
  EXPECT_GE(second.num_cached_tokens, 128) << "of the 150 tokens of the first turn";
  options.enable_prefix_caching = false;
  ExpectSameRounds(second, Answer(pair, options, {MicroRequest(next, 60)})[0]);
}

TEST(PrefixCache, EvictsTheOldestAndStaysRight) {
  const MicroPair pair;
  EngineOptions options = Caching(3);
  options.max_num_seqs = 2;
  options.kv_pages = {40, 40};
  EngineOptions plain = options;
  plain.enable_prefix_caching = false;
  Engine engine(*pair.verifier.model, pair.drafter.model.get(), options);
  int64_t hits = 0;
  for (const uint32_t seed : {0u, 1u, 0u, 2u, 3u, 4u, 5u, 0u, 5u}) {
    const GenerationRequest request = MicroRequest(MicroIds(seed, 150), 40);
    const GenerationResult result = engine.Generate({request})[0];
    hits += result.num_cached_tokens > 0 ? 1 : 0;
    ExpectSameRounds(result, Answer(pair, plain, {request})[0]);
  }
  EXPECT_EQ(hits, 2) << "the third request, and the last; request 0 was evicted in between";
  EXPECT_EQ(engine.kv_pool().global().free_pages(), 40);
}

TEST(PrefixCache, SharesPagesAmongRunningRequests) {
  const MicroPair pair;
  EngineOptions options = Caching(3);
  Engine engine(*pair.verifier.model, pair.drafter.model.get(), options);
  const std::vector<int32_t> common = MicroIds(20, 200);
  engine.Submit(MicroRequest(Joined(common, MicroIds(21, 10)), 100));
  engine.Step();
  const int64_t before = engine.kv_pool().global().free_pages();
  for (uint32_t i = 0; i < 4; ++i) {
    engine.Submit(MicroRequest(Joined(common, MicroIds(22 + i, 10)), 100));
  }
  engine.Step();
  EXPECT_LE(before - engine.kv_pool().global().free_pages(), 4 * 3)
      << "of 14 pages each, 12 are shared";
}

// Without the successor in the hash the drafter would read slot 15 of another text.
TEST(PrefixCacheMutants, AHashWithoutTheSuccessorShowsInTheDrafts) {
  const MicroPair pair;
  const std::vector<int32_t> common = MicroIds(4, 16);
  const GenerationRequest second = MicroRequest(Joined(common, {1, 2}), 200, 1.0, 5);
  EngineOptions options = Caching(8);
  const GenerationResult right = Answer(pair, options, {second})[0];
  options.fault = EngineFault::kHashWithoutSuccessor;
  Engine engine(*pair.verifier.model, pair.drafter.model.get(), options);
  engine.Generate({MicroRequest(Joined(common, {3, 4}), 5)});
  const GenerationResult faulty = engine.Generate({second})[0];
  EXPECT_EQ(faulty.num_cached_tokens, 16);
  EXPECT_EQ(faulty.tokens, right.tokens) << "drafts never change the text";
  bool same = faulty.rounds.size() == right.rounds.size();
  for (size_t i = 0; same && i < right.rounds.size(); ++i) {
    same = faulty.rounds[i].drafts == right.rounds[i].drafts;
  }
  EXPECT_FALSE(same);
}

TEST(PrefixCacheMutants, AHashWithoutTheTextBeforeItChangesTheAnswer) {
  const MicroPair pair;
  const std::vector<int32_t> common = MicroIds(4, 32);
  const std::vector<int32_t> start = MicroIds(31, 64);
  const GenerationRequest second = MicroRequest(Joined(Joined(start, common), {1, 2}), 200, 1.0, 5);
  EngineOptions options = Caching(4);
  const GenerationResult right = Answer(pair, options, {second})[0];
  options.fault = EngineFault::kHashWithoutParent;
  Engine engine(*pair.verifier.model, pair.drafter.model.get(), options);
  // The start comes from one text, what follows it from another.
  engine.Generate({MicroRequest(Joined(start, {common[0], 9}), 5)});
  engine.Generate({MicroRequest(Joined(MicroIds(33, 64), Joined(common, {1, 9})), 5)});
  const GenerationResult faulty = engine.Generate({second})[0];
  EXPECT_EQ(faulty.num_cached_tokens, 96);
  EXPECT_NE(faulty.tokens, right.tokens);
}

}  // namespace
}  // namespace talon::test

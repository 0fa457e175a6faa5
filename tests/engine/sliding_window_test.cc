// Contexts of many windows: sliding pages come back as they leave the window, and nothing that is
// still needed does.
#include <gtest/gtest.h>

#include "talon/base/error.h"
#include "tests/engine/micro_pair.h"

namespace talon::test {
namespace {

constexpr int64_t kWindow = 16;  // the fixture's

EngineOptions Poisoned(int64_t k) {
  EngineOptions options;
  options.num_speculative_tokens = k;
  options.max_num_batched_tokens = 40;
  options.max_num_seqs = 2;
  options.poison_dead_pages = true;
  return options;
}

// 31 windows in all.
GenerationRequest Long() { return MicroRequest(MicroIds(1, 20 * kWindow), 11 * kWindow, 0.9, 3); }

TEST(SlidingWindow, PagesFollowTheWindowNotTheContext) {
  const MicroPair pair;
  Engine engine(*pair.verifier.model, pair.drafter.model.get(), Poisoned(4));
  engine.Submit(Long());
  int64_t most_sliding = 0;
  int64_t most_global = 0;
  while (!engine.idle()) {
    engine.Step();
    const KvPool& pool = engine.kv_pool();
    most_sliding = std::max(most_sliding, pool.sliding().num_pages() - pool.sliding().free_pages());
    most_global = std::max(most_global, pool.global().num_pages() - pool.global().free_pages());
  }
  EXPECT_LE(most_sliding, engine.kv_plan().sequence_pages.sliding);
  EXPECT_LE(most_sliding, 5) << "window 16 and chunk 40";
  EXPECT_GE(most_global, 31) << "full layers keep everything";
}

TEST(SlidingWindow, ChunksAndDraftsDoNotMatterFarBeyondTheWindow) {
  const MicroPair pair;
  EngineOptions whole;
  const auto expected = Texts(Answer(pair, whole, {Long()}));
  for (const int64_t k : {0, 3, 8}) {
    for (const int64_t chunk : {18, 31, 64}) {
      EngineOptions options = Poisoned(k);
      options.max_num_batched_tokens = chunk;
      EXPECT_EQ(Texts(Answer(pair, options, {Long()})), expected) << "k " << k << ", " << chunk;
    }
  }
}

TEST(SlidingWindowMutants, APageGivenBackTooSoonShows) {
  const MicroPair pair;
  EngineOptions options = Poisoned(3);
  options.fault = EngineFault::kReleaseInsideWindow;
  EXPECT_THROW(Answer(pair, options, {Long()}), Error) << "logits become NaN";
}

}  // namespace
}  // namespace talon::test

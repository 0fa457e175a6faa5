// Pages that run out: requests are refused, wait, or are preempted and go on later with the same
// answer.
#include <gtest/gtest.h>

#include "talon/base/error.h"
#include "tests/engine/micro_pair.h"

namespace talon::test {
namespace {

// Eight requests whose answers grow to 300 tokens each.
std::vector<GenerationRequest> Growing() {
  std::vector<GenerationRequest> requests;
  for (uint32_t i = 0; i < 8; ++i) {
    requests.push_back(MicroRequest(MicroIds(i, 20 + 7 * i), 240, i % 2 == 0 ? 0.0 : 0.7, i));
  }
  return requests;
}

TEST(Preemption, ChangesNoAnswer) {
  const MicroPair pair;
  EngineOptions roomy;
  const auto expected = Texts(Answer(pair, roomy, Growing()));
  for (const bool caching : {false, true}) {
    for (const int64_t k : {0, 3, 8}) {
      EngineOptions options;
      options.num_speculative_tokens = k;
      options.enable_prefix_caching = caching;
      options.poison_dead_pages = true;
      options.max_num_batched_tokens = 72;
      options.kv_pages = {64, 40};  // 640 of 8 * 280 positions
      EngineCounters counters;
      EXPECT_EQ(Texts(Answer(pair, options, Growing(), &counters)), expected)
          << "k " << k << " caching " << caching;
      EXPECT_GT(counters.preemptions, 0);
    }
  }
}

TEST(Preemption, FewSlidingPagesPreemptToo) {
  const MicroPair pair;
  const auto expected = Texts(Answer(pair, EngineOptions(), Growing()));
  EngineOptions options;
  options.num_speculative_tokens = 4;
  options.poison_dead_pages = true;
  options.max_num_batched_tokens = 48;
  options.kv_pages = {9, 160};
  EngineCounters counters;
  EXPECT_EQ(Texts(Answer(pair, options, Growing(), &counters)), expected);
}

TEST(Preemption, TheFeatureSinkSeesEveryPositionOnce) {
  const MicroPair pair;
  EngineOptions options;
  options.capture_layer_ids = {2};
  options.kv_pages = {64, 40};
  Engine engine(*pair.verifier.model, nullptr, options);
  std::vector<int64_t> seen(8, 0);
  engine.SetFeatureSink([&](int64_t request, int64_t first_position, const Tensor& features) {
    EXPECT_EQ(first_position, seen[static_cast<size_t>(request)]);
    seen[static_cast<size_t>(request)] += features.rows;
  });
  engine.Generate(Growing());
  EXPECT_GT(engine.counters().preemptions, 0);
  for (size_t i = 0; i < seen.size(); ++i) {
    EXPECT_EQ(seen[i], static_cast<int64_t>(Growing()[i].prompt_ids.size()) + 239);
  }
}

TEST(Submit, RefusesWhatCanNeverFitAndRunsWhatJustFits) {
  const MicroPair pair;
  EngineOptions options;
  options.num_speculative_tokens = 4;
  options.kv_pages = {64, 10};  // 160 positions
  Engine engine(*pair.verifier.model, pair.drafter.model.get(), options);
  EXPECT_THROW(engine.Submit(MicroRequest(MicroIds(1, 100), 57)), Error);
  const auto results = engine.Generate({MicroRequest(MicroIds(1, 100), 56)});
  EXPECT_EQ(results[0].tokens.size(), 56u);
}

TEST(Submit, RefusesForWantOfSlidingPages) {
  const MicroPair pair;
  EngineOptions options;
  options.max_num_batched_tokens = 64;
  options.kv_pages = {5, 64};
  Engine engine(*pair.verifier.model, nullptr, options);
  EXPECT_THROW(engine.Submit(MicroRequest(MicroIds(1, 100), 57)), Error);
  EXPECT_EQ(engine.Generate({MicroRequest(MicroIds(1, 40), 30)})[0].tokens.size(), 30u);
}

}  // namespace
}  // namespace talon::test

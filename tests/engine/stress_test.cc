// Mixed requests in every setting that must not change an answer, on the micro pair: number of
// drafts, batch, chunks, threads, prefix cache, few pages, and a second time over. Dead KV slots
// hold NaN. TALON_STRESS_REQUESTS sets the number of requests (default 32).
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <ostream>

#include "tests/engine/micro_pair.h"

namespace talon::test {
namespace {

int NumRequests() {
  const char* value = std::getenv("TALON_STRESS_REQUESTS");
  return value != nullptr ? std::atoi(value) : 32;
}

struct Setting {
  const char* name;
  int threads;
  int64_t k;
  int64_t max_num_seqs;
  int64_t max_num_batched_tokens;
  bool prefix_caching;
  KvPages pages;  // 0: as many as are needed
};

void PrintTo(const Setting& setting, std::ostream* out) { *out << setting.name; }

const std::vector<std::vector<int32_t>>& Expected() {
  static const std::vector<std::vector<int32_t>> texts = [] {
    EngineOptions alone;
    alone.max_num_seqs = 1;
    alone.max_model_len = 512;
    return Texts(Answer(MicroPair(1), alone, MixedRequests(1, NumRequests())));
  }();
  return texts;
}

class Stress : public testing::TestWithParam<Setting> {};

TEST_P(Stress, ChangesNoAnswer) {
  const Setting& setting = GetParam();
  EngineOptions options;
  options.num_speculative_tokens = setting.k;
  options.max_num_seqs = setting.max_num_seqs;
  options.max_num_batched_tokens = setting.max_num_batched_tokens;
  options.enable_prefix_caching = setting.prefix_caching;
  options.poison_dead_pages = true;
  if (setting.pages.global > 0) options.kv_pages = setting.pages;
  const MicroPair pair(setting.threads);
  Engine engine(*pair.verifier.model, setting.k > 0 ? pair.drafter.model.get() : nullptr, options);
  // Threads that wait for each other on a busy machine are slow: fewer requests.
  const int count = setting.threads == 1 ? NumRequests() : NumRequests() / 4;
  const std::vector<std::vector<int32_t>> expected(Expected().begin(), Expected().begin() + count);
  for (int pass = 0; pass < 2; ++pass) {
    const auto results = engine.Generate(MixedRequests(1, count));
    EXPECT_EQ(Texts(results), expected) << "pass " << pass;
    EXPECT_GE(AcceptedDrafts(results), setting.k > 0 ? 20 * count : 0);
  }
  EXPECT_EQ(engine.counters().prefix_cache_hits > 0, setting.prefix_caching);
  fmt::print("preempted {} times\n", engine.counters().preemptions);
  EXPECT_EQ(engine.kv_pool().global().free_pages(), engine.kv_pool().global().num_pages());
  EXPECT_EQ(engine.kv_pool().sliding().free_pages(), engine.kv_pool().sliding().num_pages());
}

INSTANTIATE_TEST_SUITE_P(
    Settings, Stress,
    testing::Values(Setting{"NoDrafts8AtATime", 1, 0, 8, 2048, false, {}},
                    Setting{"NoDraftsCached", 1, 0, 8, 100, true, {}},
                    Setting{"Drafts1", 3, 1, 8, 2048, false, {}},
                    Setting{"Drafts2Chunks", 1, 2, 3, 33, false, {}},
                    Setting{"Drafts3Cached", 1, 3, 8, 256, true, {}},
                    Setting{"Drafts4Alone", 2, 4, 1, 17, true, {100, 100}},
                    Setting{"Drafts5FewPages", 1, 5, 8, 128, false, {70, 60}},
                    Setting{"Drafts6FewPagesCached", 1, 6, 8, 80, true, {70, 60}},
                    Setting{"Drafts7Many", 1, 7, 32, 300, true, {400, 300}},
                    Setting{"Drafts8FewSliding", 1, 8, 8, 128, true, {24, 256}}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace talon::test

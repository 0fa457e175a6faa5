// Mixed requests in every setting that must not change an answer, on the micro pair: number of
// drafts, batch, chunks, threads, prefix cache, few pages, and a second time over. Dead KV slots
// hold NaN. TALON_STRESS_REQUESTS sets the number of requests (default 32).
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <ostream>

#include "talon/engine/lossless_settings.h"
#include "tests/engine/micro_pair.h"

namespace talon::test {
namespace {

// ThreadSanitizer makes everything ten times slower. With fewer the prefix cache is never hit.
#ifdef TALON_THREAD_SANITIZER
constexpr int kDefaultRequests = 12;
#else
constexpr int kDefaultRequests = 32;
#endif

int NumRequests() {
  const char* value = std::getenv("TALON_STRESS_REQUESTS");
  return value != nullptr ? std::atoi(value) : kDefaultRequests;
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

const std::vector<GenerationResult>& Expected() {
  static const std::vector<GenerationResult> answers = [] {
    return Answer(MicroPair(1), LosslessReference({}), MixedRequests(1, NumRequests()));
  }();
  return answers;
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
  const LosslessCheck check(MixedRequests(1, count),
                            {Expected().begin(), Expected().begin() + count});
  const LosslessOutcome outcome = check.Run(engine, {.count = 2});
  EXPECT_EQ(outcome.requests, 2 * count);
  EXPECT_TRUE(outcome.divergences.empty()) << "first of " << outcome.divergences.size() << ": "
                                           << testing::PrintToString(outcome.divergences);
  EXPECT_GE(outcome.accepted_drafts, setting.k > 0 ? 40 * count : 0);
  EXPECT_EQ(outcome.cached_tokens > 0, setting.prefix_caching);
  fmt::print("preempted {} times\n", outcome.preemptions);
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

// Numbers of drafts that change from round to round: the text stays the same, and so does what the
// drafter proposes at a place, also after rounds without drafts.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "tests/engine/micro_pair.h"

namespace talon::test {
namespace {

constexpr int64_t kMost = 5;

// Costs in whose light drafts pay for a right drafter and not for a wrong one.
StepCosts TightCosts() {
  StepCosts costs;
  costs.verify = CostCurve({{1, 10.0}, {2, 10.3}});
  costs.draft_pass = CostCurve({{1, 1.0}});
  costs.draft_step = CostCurve({{1, 1.0}});
  return costs;
}

EngineOptions AutoOptions() {
  EngineOptions options;
  options.num_speculative_tokens = kMost;
  options.auto_drafts = true;
  options.step_costs = TightCosts();
  options.poison_dead_pages = true;
  return options;
}

std::set<size_t> DraftCounts(const std::vector<GenerationResult>& results) {
  std::set<size_t> counts;
  for (const GenerationResult& result : results) {
    for (const Round& round : result.rounds) counts.insert(round.drafts.size());
  }
  return counts;
}

TEST(AutoDrafts, ChangeNoText) {
  const MicroPair pair;
  const auto expected = Texts(Answer(pair, EngineOptions(), MixedRequests(5, 16)));
  EngineOptions plain = AutoOptions();
  EngineOptions cached = AutoOptions();
  cached.enable_prefix_caching = true;
  cached.max_num_batched_tokens = 72;
  EngineOptions crowded = cached;
  crowded.kv_pages = {64, 48};
  EngineOptions table = AutoOptions();
  table.auto_drafts = false;
  table.drafts_by_batch_size = {5, 0, 3, 1, 0, 2, 4, 0};
  EngineCounters counters;
  for (const EngineOptions& options : {plain, cached, crowded, table}) {
    const auto results = Answer(pair, options, MixedRequests(5, 16), &counters);
    EXPECT_EQ(Texts(results), expected);
    EXPECT_GE(DraftCounts(results).size(), 2u)
        << "auto " << options.auto_drafts << " caching " << options.enable_prefix_caching
        << " drafts accepted " << AcceptedDrafts(results);
  }
}

TEST(AutoDrafts, LeavingADearDrafterChangesNoText) {
  const MicroPair pair;
  std::vector<GenerationRequest> requests = MixedRequests(8, 12);
  for (GenerationRequest& request : requests) request.max_tokens = 200;
  const auto expected = Texts(Answer(pair, EngineOptions(), requests));
  EngineOptions options = AutoOptions();
  options.step_costs->verify = CostCurve({{1, 1.0}, {2, 3.0}});
  options.step_costs->draft_pass = CostCurve({{1, 1.0}, {2, 2.0}});
  options.enable_prefix_caching = true;
  for (const bool crowded : {false, true}) {
    if (crowded) options.kv_pages = {64, 48};
    EngineCounters counters;
    const auto results = Answer(pair, options, requests, &counters);
    EXPECT_EQ(Texts(results), expected);
    EXPECT_EQ(counters.preemptions > 0, crowded);
  }
}

TEST(AutoDrafts, MeasuredCostsChangeNoTextEither) {
  const MicroPair pair;
  const auto expected = Texts(Answer(pair, EngineOptions(), MixedRequests(6, 12)));
  EngineOptions options = AutoOptions();
  options.step_costs.reset();
  EXPECT_EQ(Texts(Answer(pair, options, MixedRequests(6, 12))), expected);
}

// Drafts by request and number of tokens before them.
using DraftsAt = std::map<std::pair<int64_t, size_t>, std::vector<int32_t>>;

void AddDrafts(const MicroPair& pair, const EngineOptions& options, DraftsAt& drafts) {
  Engine engine(*pair.verifier.model, pair.drafter.model.get(), options);
  std::map<int64_t, size_t> tokens;
  engine.Generate(MixedRequests(7, 8), [&](const StepOutput& output) {
    size_t& count = tokens[output.request_id];
    std::vector<int32_t>& known = drafts[{output.request_id, count}];
    if (output.round.drafts.size() > known.size()) known = output.round.drafts;
    count += output.tokens.size();
  });
}

struct Comparison {
  int equal = 0;
  int different = 0;
};

// What a policy that drafts now and then proposes, against engines that draft every round.
Comparison CompareWithSteadyDrafting(EngineFault fault) {
  const MicroPair pair;
  DraftsAt steady;
  for (const int64_t k : {1, 2, 5}) {
    EngineOptions options;
    options.num_speculative_tokens = k;
    AddDrafts(pair, options, steady);
  }
  DraftsAt changing;
  EngineOptions options = AutoOptions();
  options.fault = fault;
  AddDrafts(pair, options, changing);
  options.auto_drafts = false;
  options.drafts_by_batch_size = {3, 0, 2, 1, 0, 2, 4, 0};
  AddDrafts(pair, options, changing);
  Comparison comparison;
  for (const auto& [place, drafts] : changing) {
    const auto known = steady.find(place);
    if (known == steady.end()) continue;
    const size_t count = std::min(drafts.size(), known->second.size());
    const bool same = std::equal(drafts.begin(), drafts.begin() + static_cast<int64_t>(count),
                                 known->second.begin());
    comparison.equal += same && count > 0 ? 1 : 0;
    comparison.different += same ? 0 : 1;
  }
  return comparison;
}

TEST(AutoDrafts, AfterRoundsWithoutDraftsTheDrafterKnowsAllOfTheText) {
  const Comparison comparison = CompareWithSteadyDrafting(EngineFault::kNone);
  EXPECT_GT(comparison.equal, 100);
  EXPECT_EQ(comparison.different, 0);
}

TEST(AutoDrafts, AMutantThatForgetsDeferredRowsIsNoticed) {
  EXPECT_GT(CompareWithSteadyDrafting(EngineFault::kForgetDeferred).different, 0);
}

}  // namespace
}  // namespace talon::test

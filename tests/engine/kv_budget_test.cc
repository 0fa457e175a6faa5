// From memory to KV bytes, and from KV bytes to the context that they hold.
#include "talon/engine/kv_budget.h"

#include <gtest/gtest.h>

#include "talon/base/error.h"
#include "talon/engine/kv_plan.h"
#include "tests/engine/micro_pair.h"

namespace talon::test {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

TEST(KvBudget, OnAGpuUsedMemoryCountsAgainstTheShare) {
  const DeviceMemory memory{1000 * kMiB, 700 * kMiB, false};
  const KvBudget budget = MakeKvBudget(memory, 0.75, 250 * kMiB, 50 * kMiB);
  EXPECT_EQ(budget.used_bytes, 300 * kMiB) << "weights are part of it";
  EXPECT_EQ(budget.kv_bytes(), (750 - 300 - 50) * kMiB);
}

TEST(KvBudget, OnACpuMappedWeightsAreTakenOff) {
  const DeviceMemory memory{1000 * kMiB, 1000 * kMiB, true};
  EXPECT_EQ(MakeKvBudget(memory, 0.5, 250 * kMiB, 50 * kMiB).kv_bytes(), 200 * kMiB);
}

TEST(KvBudget, RefusesWithNumbersWhenNothingIsLeft) {
  const DeviceMemory memory{1000 * kMiB, 600 * kMiB, false};
  try {
    MakeKvBudget(memory, 0.5, 0, 100 * kMiB);
    FAIL();
  } catch (const Error& error) {
    const std::string text = error.what();
    EXPECT_EQ(error.code(), ErrorCode::kResourceExhausted);
    EXPECT_NE(text.find("0.50 of 1000.0 MiB may be used"), std::string::npos) << text;
    EXPECT_NE(text.find("take 400.0 MiB and the largest step 100.0 MiB"), std::string::npos);
  }
}

TEST(KvBudget, TheTableAddsUp) {
  const DeviceMemory memory{1000 * kMiB, 700 * kMiB, false};
  const std::vector<std::string> table = FormatKvBudget(MakeKvBudget(memory, 0.75, 0, 50 * kMiB));
  ASSERT_EQ(table.size(), 5u);
  EXPECT_TRUE(table[1].ends_with(" 750.0 MiB")) << table[1];
  EXPECT_TRUE(table[2].ends_with(" 300.0 MiB")) << table[2];
  EXPECT_TRUE(table[3].ends_with("  50.0 MiB")) << table[3];
  EXPECT_TRUE(table[4].ends_with(" 400.0 MiB")) << table[4];
}

TEST(StepScratch, BoundsWhatStepsTake) {
  const MicroPair pair;
  const GemmaConfig& config = pair.verifier.model->config();
  for (const int64_t k : {0, 4}) {
    const Drafter* drafter = k > 0 ? pair.drafter.model.get() : nullptr;
    EngineOptions options;
    options.num_speculative_tokens = k;
    options.max_num_batched_tokens = 4096;
    Engine engine(*pair.verifier.model, drafter, options);
    std::vector<GenerationRequest> requests;
    for (uint32_t i = 0; i < 8; ++i) requests.push_back(MicroRequest(MicroIds(i, 500), 8));
    engine.Generate(std::move(requests));
    const int64_t bound = StepScratchBytes(config, drafter, DType::kBF16, engine.options());
    // Steps had up to 4,000 rows; the arena takes at least 4 MiB at a time and skips what does not
    // fit into a block's rest.
    EXPECT_LE(engine.scratch_bytes(), bound + 8 * kMiB) << k;
    EXPECT_GE(engine.scratch_bytes(), bound / 3) << k;
  }
}

TEST(FitMaxModelLen, IsTheLongestContextThatFits) {
  const MicroPair pair;
  const GemmaConfig& config = pair.verifier.model->config();
  EngineOptions options;
  options.max_num_batched_tokens = 64;
  const auto bytes_of = [&](int64_t length) {
    options.max_model_len = length;
    const KvPlan plan = PlanKv(config, nullptr, options);
    return plan.Bytes(plan.sequence_pages);
  };
  EXPECT_EQ(FitMaxModelLen(config, nullptr, options, bytes_of(512)), 512);
  EXPECT_EQ(FitMaxModelLen(config, nullptr, options, 1000 * bytes_of(512)), 512)
      << "the model's positions";
  EXPECT_EQ(FitMaxModelLen(config, nullptr, options, bytes_of(512) - 1), 496);
  EXPECT_EQ(FitMaxModelLen(config, nullptr, options, bytes_of(160)), 160);
  EXPECT_EQ(FitMaxModelLen(config, nullptr, options, bytes_of(16)), 16);
  EXPECT_THROW(FitMaxModelLen(config, nullptr, options, bytes_of(16) - 1), Error);
}

}  // namespace
}  // namespace talon::test

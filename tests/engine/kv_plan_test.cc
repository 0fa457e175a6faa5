// The KV budget of known shapes, and what a budget of bytes buys.
#include "talon/engine/kv_plan.h"

#include <gtest/gtest.h>

#include "talon/base/error.h"
#include "tests/engine/micro_pair.h"

namespace talon::test {
namespace {

// Gemma 4 31B: 50 sliding layers of 16 x 256, 10 full layers of 4 x 512.
GemmaConfig Gemma31B() {
  GemmaConfig config;
  for (int i = 0; i < 60; ++i) {
    config.layer_types.push_back(i % 6 == 5 ? AttentionKind::kFull : AttentionKind::kSliding);
  }
  config.sliding.num_kv_heads = 16;
  config.sliding.head_dim = 256;
  config.full.num_kv_heads = 4;
  config.full.head_dim = 512;
  config.sliding_window = 1024;
  config.max_position_embeddings = 262144;
  return config;
}

EngineOptions Options(int64_t max_model_len) {
  EngineOptions options;
  options.max_model_len = max_model_len;
  options.max_num_batched_tokens = 2048;
  return options;
}

TEST(KvPlan, BytesOfGemma31BPerToken) {
  const KvPlan plan = PlanKv(Gemma31B(), nullptr, Options(2048));
  EXPECT_EQ(plan.sliding_page_bytes, 16 * 800 * 1024) << "800 KiB a token";
  EXPECT_EQ(plan.full_page_bytes, 16 * 80 * 1024) << "80 KiB a token";
  EXPECT_EQ(plan.pages.global, 8 * 128);
  EXPECT_EQ(plan.pages.sliding, 8 * 128) << "2,048 tokens are less than window and chunk";
  EngineOptions fp8 = Options(2048);
  fp8.kv_dtype = DType::kF8E4M3;
  const KvPlan half = PlanKv(Gemma31B(), nullptr, fp8);
  EXPECT_EQ(half.Bytes(half.pages) * 2, plan.Bytes(plan.pages));
}

TEST(KvPlan, SlidingLayersStopGrowingWithTheContext) {
  const KvPlan plan = PlanKv(Gemma31B(), nullptr, Options(131072));
  EXPECT_EQ(plan.sequence_pages.global, 8192);
  EXPECT_EQ(plan.sequence_pages.sliding, (1024 + 2048) / 16 + 1);
}

TEST(KvPlan, ABudgetIsSharedInProportion) {
  EngineOptions options = Options(2048);
  const KvPlan all = PlanKv(Gemma31B(), nullptr, options);
  options.kv_cache_bytes = all.Bytes(all.pages) / 2;
  const KvPlan half = PlanKv(Gemma31B(), nullptr, options);
  EXPECT_LE(half.Bytes(half.pages), options.kv_cache_bytes);
  EXPECT_EQ(half.pages.global, 512);
  EXPECT_EQ(half.pages.sliding, 512);
  options.kv_cache_bytes = 100 * all.Bytes(all.pages);
  EXPECT_EQ(PlanKv(Gemma31B(), nullptr, options).pages.global, 1024) << "no more than needed";
}

TEST(KvPlan, RefusesABudgetBelowOneRequestWithNumbers) {
  EngineOptions options = Options(2048);
  options.kv_cache_bytes = int64_t{1} << 30;
  try {
    PlanKv(Gemma31B(), nullptr, options);
    FAIL();
  } catch (const Error& error) {
    const std::string text = error.what();
    EXPECT_EQ(error.code(), ErrorCode::kResourceExhausted);
    EXPECT_NE(text.find("2048 tokens needs 1760.0 MiB"), std::string::npos) << text;
    EXPECT_NE(text.find("1024.0 MiB are available"), std::string::npos) << text;
  }
}

TEST(KvPlan, TheDrafterMayHaveATypeOfItsOwn) {
  const MicroPair pair;
  EngineOptions options = Options(512);
  const GemmaConfig& config = pair.verifier.model->config();
  EXPECT_EQ(PlanKv(config, pair.drafter.model.get(), options).drafter_page_bytes, 2 * 64 * 16 * 2);
  options.drafter_kv_dtype = DType::kF8E4M3;
  EXPECT_EQ(PlanKv(config, pair.drafter.model.get(), options).drafter_page_bytes, 2 * 64 * 16);
}

}  // namespace
}  // namespace talon::test

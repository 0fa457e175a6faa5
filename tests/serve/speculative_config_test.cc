#include "talon/serve/speculative_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "talon/base/error.h"

namespace talon {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string Refusal(std::string_view json) {
  try {
    ParseSpeculativeConfig(json);
  } catch (const Error& error) {
    return error.what();
  }
  return "(accepted)";
}

TEST(SpeculativeConfig, ReadsVllms) {
  const SpeculativeConfig config = ParseSpeculativeConfig(
      R"({"model": "org/drafter", "num_speculative_tokens": 3, "method": "eagle3"})");
  EXPECT_EQ(config.model, "org/drafter");
  EXPECT_EQ(config.num_speculative_tokens, 3);
  EXPECT_FALSE(config.kv_cache_dtype);
  EXPECT_TRUE(config.without_effect.empty());
}

TEST(SpeculativeConfig, OptionalKeys) {
  const SpeculativeConfig config = ParseSpeculativeConfig(
      R"({"model": "d", "revision": "main", "kv_cache_dtype": "fp8", "enforce_eager": true,
          "draft_tensor_parallel_size": 1, "draft_sample_method": "greedy"})");
  EXPECT_EQ(config.model, "d@main");
  EXPECT_FALSE(config.num_speculative_tokens);
  EXPECT_EQ(config.kv_cache_dtype, DType::kF8E4M3);
  EXPECT_THAT(config.without_effect, ElementsAre("enforce_eager"));
}

TEST(SpeculativeConfig, NoNumberAndAutoAreTheSame) {
  EXPECT_FALSE(ParseSpeculativeConfig(R"({"model": "d"})").num_speculative_tokens);
  const SpeculativeConfig config =
      ParseSpeculativeConfig(R"({"model": "d", "num_speculative_tokens": "auto"})");
  EXPECT_FALSE(config.num_speculative_tokens);
  EXPECT_TRUE(config.drafts_by_batch_size.empty());
}

std::string WithTable(const std::string& table, const std::string& number = "4") {
  return R"({"model": "d", "num_speculative_tokens": )" + number +
         R"(, "num_speculative_tokens_per_batch_size": )" + table + "}";
}

TEST(SpeculativeConfig, TheTableByBatchSizeIsVllms) {
  EXPECT_THAT(
      ParseSpeculativeConfig(WithTable("[[1, 2, 4], [3, 4, 1], [5, 6, 0]]")).drafts_by_batch_size,
      ElementsAre(4, 4, 1, 1, 0, 0));
  EXPECT_THAT(ParseSpeculativeConfig(WithTable("[[4, 5, 0], [1, 2, 3]]")).drafts_by_batch_size,
              ElementsAre(3, 3, 3, 0, 0))
      << "in any order; a gap takes the number before it";
}

TEST(SpeculativeConfig, WrongTablesAreRefused) {
  for (const auto& [table, part] : std::vector<std::pair<const char*, const char*>>{
           {"[]", "not a list of ranges"},
           {"3", "not a list of ranges"},
           {"[[1, 2]]", "has the entry [1,2]"},
           {"[[1, 2, 3.5]]", "has the entry [1,2,3.5]"},
           {"[[0, 2, 3]]", "has the entry [0,2,3]"},
           {"[[1, 1e308, 3]]", "has the entry"},
           {"[[1, 2, -1]]", "has the entry [1,2,-1]"},
           {"[[2, 3, 1]]", "has the range 2 to 3"},
           {"[[1, 4, 1], [4, 5, 0]]", "has the range 4 to 5"},
           {"[[3, 2, 1], [1, 1, 2]]", "has the range 3 to 2"},
           {"[[1, 2, 5]]", "asks for 5 drafts, num_speculative_tokens allows 4"},
       }) {
    EXPECT_THAT(Refusal(WithTable(table)), HasSubstr(part)) << table;
  }
  EXPECT_THAT(Refusal(WithTable("[[1, 2, 3]]", "\"auto\"")), HasSubstr("give one of them"));
}

TEST(SpeculativeConfig, UnknownKeysAreRefusedWithTheNearest) {
  const std::string refusal = Refusal(R"({"model": "d", "num_speculative_token": 3})");
  EXPECT_THAT(refusal, HasSubstr("num_speculative_token is not a known field"));
  EXPECT_THAT(refusal, HasSubstr("'num_speculative_tokens'"));
}

TEST(SpeculativeConfig, WrongValuesNameTheirKey) {
  for (const auto& [json, part] : std::vector<std::pair<const char*, const char*>>{
           {R"({"num_speculative_tokens": 3})", "model is missing"},
           {R"({"model": 3})", "model is 3"},
           {R"({"model": "d", "num_speculative_tokens": 0})", "num_speculative_tokens is 0"},
           {R"({"model": "d", "num_speculative_tokens": -1})", "num_speculative_tokens is -1"},
           {R"({"model": "d", "num_speculative_tokens": 1e308})", "num_speculative_tokens is"},
           {R"({"model": "d", "num_speculative_tokens": "many"})", "num_speculative_tokens is"},
           {R"({"model": "d", "method": "ngram"})", "method is 'ngram'"},
           {R"({"model": "d", "kv_cache_dtype": "fp4"})", "kv_cache_dtype is 'fp4'; expected one"},
           {R"({"model": "d", "draft_tensor_parallel_size": 2})",
            "draft_tensor_parallel_size is 2"},
           {R"({"model": "d", "parallel_drafting": true})", "parallel_drafting is not supported"},
           {R"([])", "expected a JSON object"},
           {R"({"model")", "not valid JSON"},
       }) {
    const std::string refusal = Refusal(json);
    EXPECT_THAT(refusal, HasSubstr("--speculative-config: ")) << json;
    EXPECT_THAT(refusal, HasSubstr(part)) << json;
  }
}

}  // namespace
}  // namespace talon

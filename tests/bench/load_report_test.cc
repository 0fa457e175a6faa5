// Figures of a load from made-up timings, against numpy's values for the same lists.
#include "talon/bench/load_report.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "talon/bench/event_reader.h"

namespace talon {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;
using testing::HasSubstr;

RequestTiming Timing(double start_s, double first_s, std::vector<double> gaps_s,
                     int64_t output_tokens) {
  RequestTiming timing;
  timing.success = true;
  timing.start_s = start_s;
  timing.first_token_s = first_s;
  timing.latency_s = first_s;
  for (const double gap : gaps_s) timing.latency_s += gap;
  timing.gaps_s = std::move(gaps_s);
  timing.input_tokens = 10;
  timing.output_tokens = output_tokens;
  return timing;
}

LoadResult ThreeAndAFailure() {
  LoadResult result;
  result.duration_s = 4.0;
  result.requests = {Timing(0.0, 0.1, {0.2, 0.3}, 5), Timing(0.5, 0.4, {0.9}, 2),
                     Timing(2.9, 0.2, {}, 1), RequestTiming()};
  result.requests.back().error = "429";
  return result;
}

TEST(LoadFigures, AreThoseOfNumpy) {
  const LoadFigures figures = ComputeFigures(ThreeAndAFailure(), {50.0, 99.0});
  EXPECT_EQ(figures.completed, 3);
  EXPECT_EQ(figures.failed, 1);
  EXPECT_EQ(figures.input_tokens, 30);
  EXPECT_EQ(figures.output_tokens, 8);
  // ttfts 0.1, 0.4, 0.2
  EXPECT_NEAR(figures.ttft.mean_ms, 233.33333333, 1e-6);
  EXPECT_NEAR(figures.ttft.median_ms, 200.0, 1e-9);
  EXPECT_NEAR(figures.ttft.std_ms, 124.72191289, 1e-6);
  EXPECT_THAT(figures.ttft.percentiles_ms,
              ElementsAre(DoubleNear(200.0, 1e-9), DoubleNear(396.0, 1e-9)));
  // tpots 0.5 / 4, 0.9 / 1; an answer of one token has none
  EXPECT_NEAR(figures.tpot.mean_ms, 512.5, 1e-9);
  // gaps 0.2, 0.3, 0.9
  EXPECT_NEAR(figures.itl.median_ms, 300.0, 1e-9);
  EXPECT_NEAR(figures.itl.percentiles_ms[1], 888.0, 1e-9);
  // latencies 0.6, 1.3, 0.2
  EXPECT_NEAR(figures.e2el.mean_ms, 700.0, 1e-9);
  // Pieces at 0.1 0.3 0.6 0.9 | 1.8 | 3.1; requests in seconds 0, 0-1 and 2-3.
  EXPECT_EQ(figures.max_output_tokens_per_s, 4.0);
  EXPECT_EQ(figures.max_concurrent_requests, 2);
}

TEST(LoadFigures, HaveVllmsKeys) {
  const LoadResult result = ThreeAndAFailure();
  const Json json = FiguresJson(ComputeFigures(result, {99.0, 99.9}), result, true);
  for (const char* key : {"duration",
                          "completed",
                          "failed",
                          "total_input_tokens",
                          "total_output_tokens",
                          "request_throughput",
                          "request_goodput",
                          "output_throughput",
                          "total_token_throughput",
                          "input_lens",
                          "output_lens",
                          "ttfts",
                          "itls",
                          "latencies",
                          "start_times",
                          "queue_times",
                          "generated_texts",
                          "errors",
                          "max_output_tokens_per_s",
                          "max_concurrent_requests",
                          "rtfx"}) {
    EXPECT_TRUE(json.contains(key)) << key;
  }
  for (const char* metric : {"ttft", "tpot", "itl", "e2el"}) {
    for (const char* statistic : {"mean", "median", "std", "p99", "p99.9"}) {
      EXPECT_TRUE(json.contains(fmt::format("{}_{}_ms", statistic, metric))) << statistic << metric;
    }
  }
  EXPECT_EQ(json["request_throughput"], 0.75);
  EXPECT_EQ(json["output_throughput"], 2.0);
  EXPECT_EQ(json["total_token_throughput"], 9.5);
  EXPECT_EQ(json["errors"][3], "429");
  EXPECT_FALSE(FiguresJson(ComputeFigures(result, {}), result, false).contains("ttfts"));
}

TEST(LoadFigures, OfNothingAreZero) {
  LoadResult result;
  result.duration_s = 1.0;
  const LoadFigures figures = ComputeFigures(result, {99.0});
  EXPECT_EQ(figures.ttft.mean_ms, 0.0);
  EXPECT_THAT(FormatFigures(figures, std::nullopt), HasSubstr("Successful requests:"));
}

TEST(DraftFigures, ComeFromVllmsMetrics) {
  const auto page = [](double drafts, double accepted) {
    return fmt::format(
        "# HELP vllm:spec_decode_num_drafts_total x\n"
        "vllm:spec_decode_num_drafts_total{{model_name=\"m\"}} {0}\n"
        "vllm:spec_decode_num_draft_tokens_total{{model_name=\"m\"}} {1}\n"
        "vllm:spec_decode_num_accepted_tokens_total{{model_name=\"m\"}} {2}\n"
        "vllm:spec_decode_num_accepted_tokens_per_pos_total{{position=\"0\"}} {2}\n"
        "vllm:spec_decode_num_accepted_tokens_per_pos_total{{position=\"1\"}} 0\n",
        drafts, 2 * drafts, accepted);
  };
  EXPECT_FALSE(ReadDraftFigures("vllm:num_requests_running{} 0\n"));
  const DraftFigures figures =
      Difference(*ReadDraftFigures(page(10, 4)), *ReadDraftFigures(page(110, 54)));
  const Json json = DraftFiguresJson(figures);
  EXPECT_EQ(json["spec_decode_num_drafts"], 100);
  EXPECT_EQ(json["spec_decode_draft_tokens"], 200);
  EXPECT_EQ(json["spec_decode_accepted_tokens"], 50);
  EXPECT_EQ(json["spec_decode_acceptance_rate"], 25.0);
  EXPECT_EQ(json["spec_decode_acceptance_length"], 1.5);
  EXPECT_EQ(json["spec_decode_per_position_acceptance_rates"], Json({0.5, 0.0}));
}

TEST(EventReader, TakesEventsFromPiecesOfAnySize) {
  const std::string stream =
      ": a comment\n\n"
      "data: {\"choices\": [{\"text\": \"ab\"}]}\n\n"
      "data: {\"choices\": [{\"delta\": {\"content\": \"c\"}}]}\n\n"
      "data: {\"choices\": [], \"usage\": {\"prompt_tokens\": 7, \"completion_tokens\": 3}}\n\n"
      "data: [DONE]\n\n";
  for (size_t size = 1; size <= stream.size(); size += 13) {
    RequestTiming timing;
    EventReader reader(timing);
    for (size_t at = 0; at < stream.size(); at += size) {
      reader.Add(std::string_view{stream}.substr(at, size), static_cast<double>(at + size));
    }
    reader.Finish();
    EXPECT_TRUE(timing.success);
    EXPECT_EQ(timing.text, "abc");
    EXPECT_EQ(timing.output_tokens, 3);
    EXPECT_EQ(timing.input_tokens, 7);
    ASSERT_EQ(timing.gaps_s.size(), 1u);
    EXPECT_EQ(timing.first_token_s + timing.gaps_s[0], timing.latency_s);
  }
}

TEST(EventReader, AStreamWithoutATokenFailed) {
  RequestTiming timing;
  EventReader reader(timing);
  reader.Add("data: {\"error\": {\"message\": \"no\"}}\n\n", 1.0);
  reader.Finish();
  EXPECT_FALSE(timing.success);
  EXPECT_THAT(timing.error, HasSubstr("no"));
}

}  // namespace
}  // namespace talon

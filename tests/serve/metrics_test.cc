#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "talon/serve/prometheus.h"
#include "talon/serve/serving_metrics.h"

namespace talon {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

TEST(Prometheus, EscapesLabelValues) {
  EXPECT_EQ(FormatLabels({}), "");
  EXPECT_EQ(FormatLabels({{"a", "x\"y\\z\n"}, {"b", ""}}), "{a=\"x\\\"y\\\\z\\n\",b=\"\"}");
}

TEST(Prometheus, WritesNumbersAsItReadsThem) {
  EXPECT_EQ(FormatNumber(3), "3");
  EXPECT_EQ(FormatNumber(0.075), "0.075");
  EXPECT_EQ(FormatNumber(std::nan("")), "NaN");
  EXPECT_EQ(FormatNumber(HUGE_VAL), "+Inf");
}

TEST(Prometheus, HistogramBucketsHoldTheirUpperBound) {
  Histogram histogram({1, 5});
  for (const double value : {0.5, 1.0, 1.5, 5.0, 7.0}) histogram.Observe(value);
  EXPECT_THAT(histogram.counts(), ElementsAre(2, 2, 1));
  MetricsWriter writer(MetricLabels{{"m", "x"}});
  writer.Write("h", "A histogram.", histogram);
  EXPECT_EQ(writer.text(),
            "# HELP h A histogram.\n# TYPE h histogram\n"
            "h_bucket{m=\"x\",le=\"1\"} 2\nh_bucket{m=\"x\",le=\"5\"} 4\n"
            "h_bucket{m=\"x\",le=\"+Inf\"} 5\nh_count{m=\"x\"} 5\nh_sum{m=\"x\"} 15\n");
}

TEST(ServingMetrics, SpeculativeCountersByPosition) {
  ServingMetrics metrics("gemma", 1000, 3);
  metrics.CountRound(3, 2);
  metrics.CountRound(3, 0);
  metrics.CountRound(2, 1);
  const std::string text = metrics.Render();
  const std::string labels = "{model_name=\"gemma\",engine=\"0\"";
  for (const std::string& line : {
           "vllm:spec_decode_num_drafts_total" + labels + "} 3\n",
           "vllm:spec_decode_num_draft_tokens_total" + labels + "} 8\n",
           "vllm:spec_decode_num_accepted_tokens_total" + labels + "} 3\n",
           "vllm:spec_decode_num_accepted_tokens_per_pos_total" + labels + ",position=\"0\"} 2\n",
           "vllm:spec_decode_num_accepted_tokens_per_pos_total" + labels + ",position=\"1\"} 1\n",
           "vllm:spec_decode_num_accepted_tokens_per_pos_total" + labels + ",position=\"2\"} 0\n",
       }) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST(ServingMetrics, TheTimeOfARequestIsSplitAsInVllm) {
  ServingMetrics metrics("m", 1000, 0);
  RequestRecord record;
  record.total_s = 10.0;
  record.queue_s = 1.5;
  record.first_token_s = 3.5;
  record.generation_tokens = 5;
  metrics.CountFinished(record);
  const std::string text = metrics.Render();
  const std::string labels = "{model_name=\"m\",engine=\"0\"} ";
  for (const auto& [name, seconds] :
       std::vector<std::pair<std::string, std::string>>{{"request_queue_time_seconds", "1.5"},
                                                        {"request_prefill_time_seconds", "2"},
                                                        {"request_inference_time_seconds", "8.5"},
                                                        {"request_decode_time_seconds", "6.5"},
                                                        {"e2e_request_latency_seconds", "10"}}) {
    EXPECT_THAT(text, HasSubstr(fmt::format("vllm:{}_sum{}{}\n", name, labels, seconds)));
    EXPECT_THAT(text, HasSubstr(fmt::format("vllm:{}_count{}1\n", name, labels)));
  }
}

TEST(ServingMetrics, WithoutADrafterNothingSpeculative) {
  EXPECT_THAT(ServingMetrics("m", 1000, 0).Render(), Not(HasSubstr("spec_decode")));
}

TEST(ServingMetrics, TokenBucketsFollowTheContext) {
  const std::string text = ServingMetrics("m", 30, 0).Render();
  EXPECT_THAT(text, HasSubstr("vllm:request_prompt_tokens_bucket{model_name=\"m\",engine=\"0\","
                              "le=\"20\"} 0\n"));
  EXPECT_THAT(text, Not(HasSubstr("le=\"50\"} 0\nvllm:request_prompt_tokens")));
}

TEST(StatsLines, AreVllms) {
  MetricsTotals before;
  before.accepted_per_pos = {0, 0, 0};
  MetricsTotals now;
  now.prompt_tokens = 100;
  now.generation_tokens = 250;
  now.num_drafts = 100;
  now.num_draft_tokens = 300;
  now.num_accepted_tokens = 150;
  now.accepted_per_pos = {80, 50, 20};
  now.load = {2, 1, 0.125, 0, 0, 0};
  EXPECT_THAT(
      FormatStatsLines(before, now, 10.0, /*on_gpu=*/true),
      ElementsAre(
          "Engine 000: Avg prompt throughput: 10.0 tokens/s, Avg generation throughput: 25.0 "
          "tokens/s, Running: 2 reqs, Waiting: 1 reqs, GPU KV cache usage: 12.5%",
          "SpecDecoding metrics: Mean acceptance length: 2.50, Accepted throughput: 15.00 "
          "tokens/s, "
          "Drafted throughput: 30.00 tokens/s, Accepted: 150 tokens, Drafted: 300 tokens, "
          "Per-position acceptance rate: 0.800, 0.500, 0.200, Avg Draft acceptance rate: 50.0%"));
}

TEST(StatsLines, AnIdleServerIsSilent) {
  MetricsTotals totals;
  totals.generation_tokens = 5;
  EXPECT_TRUE(FormatStatsLines(totals, totals, 10.0, false).empty());
}

}  // namespace
}  // namespace talon

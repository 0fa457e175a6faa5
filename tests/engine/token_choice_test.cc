// Penalties, biases, min_tokens and log-probabilities in real answers: the same with and without
// drafts, and equal to a float64 recomputation from the verifier's logits.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "talon/engine/engine.h"
#include "talon/engine/token_history.h"
#include "tests/engine/answers.h"
#include "tests/engine/demo_pair.h"
#include "tests/support/test_data.h"

namespace talon::test {
namespace {

constexpr int64_t kTokens = 64;

// Every setting that looks at a request's own text, in turn and together.
std::vector<GenerationRequest> Requests() {
  std::vector<GenerationRequest> requests;
  for (uint32_t i = 0; i < 8; ++i) {
    GenerationRequest request = RandomRequest(i, i % 2 == 0 ? 0.0 : 0.9, kTokens);
    SamplingParams& sampling = request.sampling;
    if (i % 4 <= 1) sampling.repetition_penalty = 1.3;
    if (i % 4 == 1 || i % 4 == 2) sampling.presence_penalty = 0.8;
    if (i % 4 >= 2) sampling.frequency_penalty = 0.5;
    if (i >= 4) sampling.logit_bias = {{300, -100.0f}, {417, 4.0f}, {991, 2.5f}};
    if (i >= 6) {
      sampling.min_tokens = 40;
      request.stop_token_ids = {417};  // likely, so that it is what min_tokens has to keep out
      request.held_back_token_ids = {991};
    }
    sampling.num_logprobs = i % 3 == 0 ? -1 : static_cast<int64_t>(i);
    sampling.num_prompt_logprobs = i % 2 == 0 ? static_cast<int64_t>(i) / 2 : -1;
    requests.push_back(std::move(request));
  }
  return requests;
}

std::vector<GenerationResult> Answers(const DemoPair& pair, std::vector<GenerationRequest> requests,
                                      int64_t drafts, int64_t max_num_seqs,
                                      int64_t batched_tokens = 2048) {
  EngineOptions options;
  options.max_num_seqs = max_num_seqs;
  options.num_speculative_tokens = drafts;
  options.max_num_batched_tokens = batched_tokens;
  Engine engine(*pair.verifier.model, pair.drafter.model.get(), options);
  return engine.Generate(std::move(requests));
}

void ExpectEqual(const std::vector<TokenLogprobs>& actual,
                 const std::vector<TokenLogprobs>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    EXPECT_EQ(actual[i].logprob, expected[i].logprob);
    EXPECT_EQ(actual[i].top, expected[i].top);
  }
}

TEST(TokenChoice, IsTheSameWithAnyNumberOfDrafts) {
  TALON_REQUIRE_PATH(DemoPath("verifier"));
  const DemoPair pair;
  const auto expected = Answers(pair, Requests(), 0, 1);
  for (int64_t k = 1; k <= 8; ++k) {
    const auto actual = Answers(pair, Requests(), k, k % 3 == 0 ? 1 : 8, k % 2 == 0 ? 72 : 2048);
    for (size_t i = 0; i < expected.size(); ++i) {
      SCOPED_TRACE(testing::Message() << "k " << k << " request " << i);
      EXPECT_EQ(actual[i].tokens, expected[i].tokens);
      ExpectEqual(actual[i].logprobs, expected[i].logprobs);
      ExpectEqual(actual[i].prompt_logprobs, expected[i].prompt_logprobs);
    }
  }
}

// vLLM's penalties in double precision: apply_repetition_penalties, then frequency, then presence.
std::vector<double> Adjusted(const std::vector<float>& logits, const GenerationRequest& request,
                             const std::vector<int32_t>& answer) {
  const SamplingParams& sampling = request.sampling;
  std::vector<double> adjusted(logits.begin(), logits.end());
  for (const auto& [id, bias] : sampling.logit_bias) adjusted[static_cast<size_t>(id)] += bias;
  if (static_cast<int64_t>(answer.size()) < sampling.min_tokens) {
    for (const int32_t id : request.stop_token_ids) adjusted[static_cast<size_t>(id)] = -INFINITY;
    for (const int32_t id : request.held_back_token_ids) {
      adjusted[static_cast<size_t>(id)] = -INFINITY;
    }
  }
  std::set<int32_t> seen(request.prompt_ids.begin(), request.prompt_ids.end());
  seen.insert(answer.begin(), answer.end());
  for (const int32_t id : seen) {
    double& logit = adjusted[static_cast<size_t>(id)];
    logit = logit > 0.0 ? logit / sampling.repetition_penalty : logit * sampling.repetition_penalty;
  }
  std::map<int32_t, int64_t> counts;
  for (const int32_t id : answer) ++counts[id];
  for (const auto& [id, count] : counts) {
    double& logit = adjusted[static_cast<size_t>(id)];
    logit -= sampling.frequency_penalty * static_cast<double>(count);
    logit -= sampling.presence_penalty;
  }
  return adjusted;
}

std::vector<std::vector<float>> LogitsOfAnswer(const DemoPair& pair,
                                               const GenerationRequest& request,
                                               const GenerationResult& result) {
  std::vector<int32_t> text = request.prompt_ids;
  text.insert(text.end(), result.tokens.begin(), result.tokens.end());
  return LogitsOf(*pair.verifier.model, text);
}

TEST(TokenChoice, GreedyTokensAreTheLargestAdjustedLogits) {
  TALON_REQUIRE_PATH(DemoPath("verifier"));
  const DemoPair pair;
  std::vector<GenerationRequest> requests = Requests();
  for (GenerationRequest& request : requests) request.max_tokens = 2 * kTokens;
  const auto results = Answers(pair, requests, 4, 8);
  int64_t changed = 0;
  for (size_t r = 0; r < requests.size(); r += 2) {  // the greedy ones
    const auto logits = LogitsOfAnswer(pair, requests[r], results[r]);
    std::vector<int32_t> answer;
    for (const int32_t token : results[r].tokens) {
      const auto& row = logits[requests[r].prompt_ids.size() + answer.size() - 1];
      const std::vector<double> adjusted = Adjusted(row, requests[r], answer);
      const double largest = *std::max_element(adjusted.begin(), adjusted.end());
      EXPECT_NEAR(adjusted[static_cast<size_t>(token)], largest, 1e-5) << "request " << r;
      changed += row[static_cast<size_t>(token)] < *std::max_element(row.begin(), row.end());
      answer.push_back(token);
    }
  }
  EXPECT_GT(changed, 50) << "the settings matter in this test";
}

TEST(TokenChoice, MinTokensKeepsStopTokensOut) {
  TALON_REQUIRE_PATH(DemoPath("verifier"));
  const DemoPair pair;
  GenerationRequest request = RandomRequest(3, 0.0, kTokens);
  request.sampling.logit_bias = {{417, 100.0f}};
  request.stop_token_ids = {417};
  EXPECT_EQ(Answers(pair, {request}, 3, 1)[0].tokens, std::vector<int32_t>{417});
  for (const int64_t min_tokens : {1, 2, 17}) {
    request.sampling.min_tokens = min_tokens;
    const GenerationResult result = Answers(pair, {request}, 3, 1)[0];
    ASSERT_EQ(static_cast<int64_t>(result.tokens.size()), min_tokens + 1);
    EXPECT_EQ(std::count(result.tokens.begin(), result.tokens.end(), 417), 1);
    EXPECT_EQ(result.finish_reason, FinishReason::kStop);
  }
}

// log_softmax in double precision.
std::vector<double> LogSoftmax(const std::vector<float>& logits) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  std::vector<double> logprobs;
  for (const float logit : logits) logprobs.push_back(logit - largest - std::log(sum));
  return logprobs;
}

void ExpectLogprobs(const TokenLogprobs& actual, const std::vector<float>& logits, int32_t token,
                    size_t num_top) {
  const std::vector<double> expected = LogSoftmax(logits);
  EXPECT_NEAR(actual.logprob, expected[static_cast<size_t>(token)], 2e-6);
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
  });
  ASSERT_EQ(actual.top.size(), num_top);
  for (size_t i = 0; i < num_top; ++i) {
    EXPECT_EQ(actual.top[i].first, order[i]);
    EXPECT_NEAR(actual.top[i].second, expected[static_cast<size_t>(order[i])], 2e-6);
  }
}

TEST(TokenChoice, LogprobsAreThoseOfTheRawLogits) {
  TALON_REQUIRE_PATH(DemoPath("verifier"));
  const DemoPair pair;
  const std::vector<GenerationRequest> requests = Requests();
  const auto results = Answers(pair, requests, 3, 4, 64);
  for (size_t r = 0; r < requests.size(); ++r) {
    SCOPED_TRACE(testing::Message() << "request " << r);
    const GenerationRequest& request = requests[r];
    const GenerationResult& result = results[r];
    const size_t prompt_size = request.prompt_ids.size();
    const auto logits = LogitsOfAnswer(pair, request, result);
    const int64_t asked = request.sampling.num_logprobs;
    ASSERT_EQ(result.logprobs.size(), asked < 0 ? 0 : result.tokens.size());
    for (size_t i = 0; i < result.logprobs.size(); ++i) {
      ExpectLogprobs(result.logprobs[i], logits[prompt_size + i - 1], result.tokens[i],
                     static_cast<size_t>(asked));
    }
    const int64_t asked_prompt = request.sampling.num_prompt_logprobs;
    ASSERT_EQ(result.prompt_logprobs.size(), asked_prompt < 0 ? 0 : prompt_size - 1);
    for (size_t i = 0; i < result.prompt_logprobs.size(); ++i) {
      ExpectLogprobs(result.prompt_logprobs[i], logits[i], request.prompt_ids[i + 1],
                     static_cast<size_t>(asked_prompt));
    }
  }
}

TEST(TokenHistory, DraftsCountForTheirOwnRowAlone) {
  GenerationRequest request;
  request.prompt_ids = {2, 7};
  request.sampling.frequency_penalty = 0.5;
  const auto history = TokenHistory::For(request);
  history->Commit(9);
  const std::vector<int32_t> drafts = {9, 4};
  const auto frequency = [&](size_t num_drafts, int32_t token) {
    std::vector<LogitAdjustment> adjustments;
    history->Append(std::span(drafts).first(num_drafts), 0, adjustments);
    for (const LogitAdjustment& change : adjustments) {
      if (change.token == token) return change.frequency;
    }
    return 0.0f;
  };
  EXPECT_EQ(frequency(0, 9), 0.5f);
  EXPECT_EQ(frequency(1, 9), 1.0f);
  EXPECT_EQ(frequency(1, 4), 0.0f);
  EXPECT_EQ(frequency(2, 4), 0.5f);
  EXPECT_EQ(frequency(0, 9), 0.5f) << "a look ahead leaves no trace";
}

TEST(TokenHistory, IsNotThereWhenNothingAsksForIt) {
  GenerationRequest request;
  request.prompt_ids = {2};
  EXPECT_EQ(TokenHistory::For(request), nullptr);
}

}  // namespace
}  // namespace talon::test

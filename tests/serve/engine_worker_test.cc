#include "talon/serve/engine_worker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "talon/serve/acceptance_guard.h"
#include "talon/serve/request_error.h"
#include "tests/serve/byte_tokenizer.h"
#include "tests/serve/scripted_engine.h"

namespace talon {
namespace {

using std::chrono::milliseconds;
using test::EngineScript;
using test::ScriptedEngine;
using testing::ElementsAre;
using testing::HasSubstr;

// A channel whose reader waits on the test's thread.
class Reader {
 public:
  explicit Reader(size_t sequences)
      : channel(std::make_shared<RequestChannel>(sequences, [this] {
          const std::lock_guard lock(mutex_);
          ++wakes_;
          changed_.notify_all();
        })) {}

  // Tokens of all sequences once each, or `ends` of them, has ended or the call has failed.
  std::vector<std::vector<int32_t>> AwaitEnd(size_t sequences) {
    return AwaitEnds(sequences, sequences);
  }
  std::vector<std::vector<int32_t>> AwaitEnds(size_t sequences, size_t ends) {
    std::vector<std::vector<int32_t>> tokens(sequences);
    size_t ended = 0;
    while (ended < ends && !failure) {
      AwaitWake();
      const RequestChannel::Reading reading = channel->Take();
      for (size_t i = 0; i < sequences; ++i) {
        const SequenceProgress& gained = reading.sequences[i];
        tokens[i].insert(tokens[i].end(), gained.tokens.begin(), gained.tokens.end());
        if (gained.finish_reason != FinishReason::kNone) ++ended;
      }
      failure = reading.failure;
    }
    return tokens;
  }

  std::optional<CallFailure> failure;
  std::shared_ptr<RequestChannel> channel;

 private:
  void AwaitWake() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return wakes_ > 0; });
    --wakes_;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  int wakes_ = 0;
};

GenerationRequest Request(std::vector<int32_t> prompt) {
  GenerationRequest request;
  request.prompt_ids = std::move(prompt);
  request.max_tokens = 100;
  request.stop_token_ids = {test::ByteTokenizer::kEos};
  return request;
}

class EngineWorkerTest : public testing::Test {
 protected:
  void Start(int64_t max_in_flight) {
    worker = std::make_unique<EngineWorker>(std::make_unique<ScriptedEngine>(script), max_in_flight,
                                            metrics);
  }
  int64_t Submit(
      const Reader& reader, std::vector<GenerationRequest> sequences,
      EngineWorker::Clock::time_point deadline = EngineWorker::Clock::time_point::max()) {
    return worker->Submit({std::move(sequences), reader.channel, deadline});
  }

  std::shared_ptr<EngineScript> script = std::make_shared<EngineScript>();
  ServingMetrics metrics{"m", 1000, 3};
  std::unique_ptr<EngineWorker> worker;
};

TEST_F(EngineWorkerTest, DeliversEverySequence) {
  Start(8);
  Reader reader(2);
  Submit(reader, {Request({2, 20, 21}), Request({2, 30})});
  const auto tokens = reader.AwaitEnd(2);
  EXPECT_THAT(tokens[0], ElementsAre(20, 21, 1));
  EXPECT_THAT(tokens[1], ElementsAre(30, 1));
  EXPECT_EQ(worker->in_flight(), 0);
}

TEST_F(EngineWorkerTest, RefusesWhatExceedsTheQueue) {
  script->Hold();
  Start(2);
  Reader first(2);
  Submit(first, {Request({2, 20}), Request({2, 21})});
  Reader second(1);
  try {
    Submit(second, {Request({2, 22})});
    FAIL() << "the queue is full";
  } catch (const RequestError& error) {
    EXPECT_EQ(error.code(), ErrorCode::kResourceExhausted);
    EXPECT_GE(error.retry_after_s(), 1);
  }
  script->Release();
  first.AwaitEnd(2);
  Submit(second, {Request({2, 22})});
  EXPECT_THAT(second.AwaitEnd(1)[0], ElementsAre(22, 1));
}

TEST_F(EngineWorkerTest, RefusesACallThatNeverFits) {
  Start(2);
  Reader reader(3);
  try {
    Submit(reader, {Request({2, 20}), Request({2, 21}), Request({2, 22})});
    FAIL() << "three sequences, two places";
  } catch (const RequestError& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
  }
  EXPECT_EQ(worker->in_flight(), 0);
}

TEST_F(EngineWorkerTest, CancelsQueuedAndRunningBeforeTheNextStep) {
  script->Hold();
  script->max_num_seqs = 1;
  Start(8);
  Reader running(1);
  Reader queued(1);
  const int64_t first = Submit(running, {Request({2, 20})});
  const int64_t second = Submit(queued, {Request({2, 21})});
  script->AwaitRequests(2);
  worker->Cancel(second);
  script->AwaitRequests(1);
  worker->Cancel(first);
  script->AwaitRequests(0);
  worker->Cancel(first);  // again: nothing happens
  worker->Cancel(12345);
  EXPECT_TRUE(running.channel->Take().sequences[0].tokens.empty());
  script->Release();
}

// A baseline of the scripted engine's echoes: two drafts of each round are right.
AcceptanceBaseline Baseline(int64_t accepted_per_round) {
  AcceptanceBaseline baseline;
  baseline.k = 3;
  baseline.stop_token_ids = {test::ByteTokenizer::kEos};
  for (int32_t i = 0; i < 3; ++i) {
    baseline.prompts.push_back(
        {"p", {2, 20, 21, 22, 23 + i, 24, 25}, 64, 2, 2 * accepted_per_round});
  }
  return baseline;
}

class AcceptanceGuardTest : public EngineWorkerTest {
 protected:
  void Watch(int64_t accepted_per_round) {
    guard = std::make_shared<AcceptanceGuard>(
        Baseline(accepted_per_round),
        [this](const AcceptanceCheck& check) { ended.set_value(check); });
    worker->SetIdleWork(guard);
  }
  AcceptanceCheck AwaitEnd() { return ended.get_future().get(); }

  std::shared_ptr<AcceptanceGuard> guard;
  std::promise<AcceptanceCheck> ended;
};

TEST_F(AcceptanceGuardTest, ComparesLengthsWhenIdle) {
  script->accepted_per_round = 2;
  Start(8);
  Watch(2);
  const AcceptanceCheck check = AwaitEnd();
  EXPECT_EQ(check.state, AcceptanceCheck::State::kAsExpected);
  EXPECT_DOUBLE_EQ(check.expected_length, 3.0);
  EXPECT_DOUBLE_EQ(check.measured_length, 3.0);
  EXPECT_THAT(metrics.Render(), HasSubstr("vllm:generation_tokens_total{model_name=\"m\","
                                          "engine=\"0\"} 0\n"));
}

TEST_F(AcceptanceGuardTest, ALargeShortfallIsLow) {
  script->accepted_per_round = 2;
  Start(8);
  Watch(3);  // 2 of 3: a shortfall of a third
  EXPECT_EQ(AwaitEnd().state, AcceptanceCheck::State::kLow);
  EXPECT_EQ(guard->check().state, AcceptanceCheck::State::kLow);
}

TEST_F(AcceptanceGuardTest, GivesWayToUsersAndStartsItsPromptAgain) {
  script->accepted_per_round = 2;
  script->Hold();
  Start(8);
  Watch(2);
  script->AwaitRequests(1);  // the guard's
  Reader reader(1);
  Submit(reader, {Request({2, 20, 21})});
  script->Release();
  EXPECT_THAT(reader.AwaitEnd(1)[0], ElementsAre(20, 21, 1));
  const AcceptanceCheck check = AwaitEnd();
  EXPECT_EQ(check.state, AcceptanceCheck::State::kAsExpected);
  EXPECT_DOUBLE_EQ(check.measured_length, 3.0);
}

TEST_F(AcceptanceGuardTest, AFailureEndsItAlone) {
  script->FailNextStep();
  Start(8);
  Watch(2);
  const AcceptanceCheck check = AwaitEnd();
  EXPECT_EQ(check.state, AcceptanceCheck::State::kFailed);
  EXPECT_THAT(check.reason, HasSubstr("as scripted"));
  Reader reader(1);
  Submit(reader, {Request({2, 20})});
  EXPECT_THAT(reader.AwaitEnd(1)[0], ElementsAre(20, 1));
}

TEST_F(EngineWorkerTest, FinishesOneSequenceOfACall) {
  script->Hold();
  Start(8);
  Reader reader(2);
  const int64_t call = Submit(reader, {Request({2, 20}), Request({2, 21})});
  script->AwaitRequests(2);
  worker->FinishSequence(call, 0);
  script->AwaitRequests(1);
  script->Release();
  const auto tokens = reader.AwaitEnds(2, 1);
  EXPECT_TRUE(tokens[0].empty());
  EXPECT_THAT(tokens[1], ElementsAre(21, 1));
}

TEST_F(EngineWorkerTest, EndsCallsAtTheirDeadline) {
  script->Hold();
  Start(8);
  Reader reader(1);
  Submit(reader, {Request({2, 20})}, EngineWorker::Clock::now());
  reader.AwaitEnd(1);
  ASSERT_TRUE(reader.failure);
  EXPECT_TRUE(reader.failure->deadline_passed);
  script->AwaitRequests(0);
  script->Release();
}

TEST_F(EngineWorkerTest, ARefusedSequenceFailsItsCallAlone) {
  Start(8);
  Reader bad(2);
  Submit(bad, {Request({2, 20}), Request({2})});
  bad.AwaitEnd(2);
  ASSERT_TRUE(bad.failure);
  EXPECT_EQ(bad.failure->code, ErrorCode::kInvalidArgument);
  Reader good(1);
  Submit(good, {Request({2, 22})});
  EXPECT_THAT(good.AwaitEnd(1)[0], ElementsAre(22, 1));
  EXPECT_EQ(worker->in_flight(), 0);
}

TEST_F(EngineWorkerTest, AFailedStepFailsWhatWasRunningAndGoesOn) {
  script->Hold();
  Start(8);
  Reader reader(1);
  Submit(reader, {Request({2, 20})});
  script->AwaitRequests(1);
  script->FailNextStep();
  script->Release();
  reader.AwaitEnd(1);
  ASSERT_TRUE(reader.failure);
  EXPECT_THAT(reader.failure->message, HasSubstr("as scripted"));
  Reader next(1);
  Submit(next, {Request({2, 22})});
  EXPECT_THAT(next.AwaitEnd(1)[0], ElementsAre(22, 1));
}

TEST_F(EngineWorkerTest, DrainFinishesWhatRuns) {
  Start(8);
  Reader reader(1);
  Submit(reader, {Request({2, 20, 21, 22})});
  worker->Drain(milliseconds(60'000));
  EXPECT_THAT(reader.AwaitEnd(1)[0], ElementsAre(20, 21, 22, 1));
  try {
    Submit(reader, {Request({2, 20})});
    FAIL() << "drained";
  } catch (const RequestError& error) {
    EXPECT_EQ(error.code(), ErrorCode::kFailedPrecondition);
  }
}

TEST_F(EngineWorkerTest, DrainCancelsWhatDoesNotEnd) {
  script->Hold();
  Start(8);
  Reader reader(1);
  Submit(reader, {Request({2, 20})});
  worker->Drain(milliseconds(1));
  reader.AwaitEnd(1);
  ASSERT_TRUE(reader.failure);
  EXPECT_EQ(reader.failure->code, ErrorCode::kFailedPrecondition);
  EXPECT_EQ(script->num_requests(), 0u);
}

TEST_F(EngineWorkerTest, CountsWhatHappened) {
  script->accepted_per_round = 2;
  Start(8);
  Reader reader(1);
  Submit(reader, {Request({2, 20, 21, 22, 23})});
  reader.AwaitEnd(1);  // 20; 21 22 23; 1
  worker->Drain(milliseconds(60'000));
  const MetricsTotals totals = metrics.Totals();
  EXPECT_EQ(totals.prompt_tokens, 5);
  EXPECT_EQ(totals.generation_tokens, 5);
  EXPECT_EQ(totals.num_drafts, 2);
  EXPECT_EQ(totals.num_draft_tokens, 6);
  EXPECT_EQ(totals.num_accepted_tokens, 4);
  EXPECT_THAT(totals.accepted_per_pos, ElementsAre(2, 2, 0));
  EXPECT_THAT(metrics.Render(),
              HasSubstr("vllm:request_success_total{model_name=\"m\",engine=\"0\","
                        "finished_reason=\"stop\"} 1\n"));
}

}  // namespace
}  // namespace talon

// The whole way on the tiny pair, in float32: prompts from the data files, recorded traces, replay
// - against the traces of real vLLM for the same prompts, and against live decodes through the
// engine.
#include <gtest/gtest.h>

#include <map>

#include "talon/base/error.h"
#include "talon/base/progress.h"
#include "talon/checkpoint/identity.h"
#include "talon/eval/eval_data.h"
#include "talon/eval/evaluation.h"
#include "talon/eval/recorder.h"
#include "talon/eval/replay.h"
#include "talon/model/load.h"
#include "tests/support/test_data.h"
#include "tests/support/trace_fixture.h"

namespace talon {
namespace {

constexpr int64_t kMaxTokens = 128;
constexpr int64_t kDrafts = 5;

// Models and prompts, and a store that Record() fills.
struct TinyPair {
  test::TempDir directory;
  std::unique_ptr<Backend> backend;
  LoadedVerifier verifier;
  LoadedDrafter drafter;
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<EvalData> data;
  std::unique_ptr<TraceStore> store;
  Recording recording;

  TinyPair(const std::filesystem::path& models, const std::filesystem::path& prompts) {
    Progress::SetEnabled(false);
    backend = MakeBackend({});
    const ModelOptions options = {DType::kF32, LinearNumerics::kWeightOnly};
    verifier = LoadVerifier(*backend, models / "verifier", options);
    drafter = LoadDrafter(models / "drafter", options, *verifier.model);
    tokenizer = Tokenizer::Load(models / "verifier/tokenizer.json");
    data = std::make_unique<EvalData>(
        ReadPrompts(prompts), *tokenizer,
        EvalDataOptions{.chat_format = ChatFormat::kGemma4,
                        .max_prompts = 1,
                        .max_positions = verifier.model->config().max_position_embeddings,
                        .reserved_tokens = kMaxTokens + kDrafts + 1});
    store = std::make_unique<TraceStore>(directory.path() / "traces", Manifest());
  }

  TraceManifest Manifest() const {
    TraceManifest manifest;
    manifest.verifier_identity = CheckpointIdentity(*verifier.store);
    manifest.dtype = DType::kF32;
    manifest.data_sha256 = data->identity();
    manifest.chat_format = "gemma4";
    manifest.turns = "first";
    manifest.max_tokens = kMaxTokens;
    manifest.tail_tokens = 8;
    manifest.stop_token_ids = verifier.model->config().eos_token_ids;
    manifest.aux_layer_ids.assign(drafter.model->aux_layer_ids().begin(),
                                  drafter.model->aux_layer_ids().end());
    manifest.hidden_size = verifier.model->config().hidden_size;
    return manifest;
  }

  Recording Record(TraceStore& to) {
    return RecordTraces(*verifier.model, *data, to, {.max_num_seqs = 8, .max_positions = 2048});
  }
};

class TinyPairTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto models = test::SharedPath("models/tiny-gemma4");
    const auto prompts = test::SharedPath("data/acceptance");
    TALON_REQUIRE_PATH(models);
    TALON_REQUIRE_PATH(prompts);
    pair_ = std::make_unique<TinyPair>(models, prompts);
  }

  // The drafter's rounds on all recorded traces, in the fixtures' form.
  std::vector<test::SpeculativeTrace> ReplayAll() const {
    Replayer replayer(*pair_->backend, *pair_->drafter.model, *pair_->store, kDrafts);
    std::vector<test::SpeculativeTrace> replayed;
    for (const TraceKey& key : pair_->recording.keys) {
      const Trace trace = pair_->store->Read(key);
      test::SpeculativeTrace result;
      result.id = trace.id;
      result.prompt_ids.assign(trace.prompt().begin(), trace.prompt().end());
      result.output_ids.assign(trace.answer().begin(), trace.answer().end());
      const DraftIds drafts = replayer.Draft(trace);
      for (const Round& round : WalkRounds(trace.continuation(), drafts, kDrafts)) {
        result.drafts_per_round.push_back(round.drafts);
        result.accepted_per_round.push_back(static_cast<int32_t>(round.accepted));
      }
      replayed.push_back(std::move(result));
    }
    return replayed;
  }

  std::unique_ptr<TinyPair> pair_;
};

TEST_F(TinyPairTest, ReplayEqualsVllm) {
  pair_->recording = pair_->Record(*pair_->store);
  std::map<std::string, test::SpeculativeTrace> by_id;
  for (auto& trace : test::ReadTraceFixture(test::TestData("vllm-eagle3/traces_fp32.json"))) {
    by_id[trace.id] = trace;
  }
  const std::vector<test::SpeculativeTrace> replayed = ReplayAll();
  ASSERT_EQ(replayed.size(), 7u);
  std::vector<test::SpeculativeTrace> expected;
  for (const test::SpeculativeTrace& trace : replayed) {
    expected.push_back(by_id.at(trace.id));
    EXPECT_EQ(trace.prompt_ids, expected.back().prompt_ids) << trace.id;
  }
  const test::TraceComparison comparison = test::CompareTraces(expected, replayed);
  EXPECT_EQ(comparison.equal_traces, comparison.traces)
      << testing::PrintToString(comparison.differences);
  EXPECT_GT(comparison.rounds, 50);

  // The features of the next position instead of the right one give other drafts: alignment
  // matters.
  Trace trace = pair_->store->Read(pair_->recording.keys[0]);
  Replayer replayer(*pair_->backend, *pair_->drafter.model, *pair_->store, kDrafts);
  const DraftIds right = replayer.Draft(trace);
  EXPECT_EQ(replayer.Draft(trace), right);
  const auto row_bytes = std::ssize(trace.features) / trace.feature_rows();
  std::vector<std::byte> shifted(trace.features.begin() + row_bytes, trace.features.end());
  shifted.resize(trace.features.size());
  trace.features = shifted;
  EXPECT_NE(replayer.Draft(trace), right);
}

TEST_F(TinyPairTest, RecordingContinuesAndLiveDecodesAgree) {
  const std::vector<TraceKey> keys = pair_->Record(*pair_->store).keys;
  // A run that was interrupted when two traces were written.
  TraceStore store(pair_->directory.path() / "continued", pair_->Manifest());
  store.Append({pair_->store->Read(keys[0]), pair_->store->Read(keys[3])});
  const Recording recording = pair_->Record(store);
  EXPECT_EQ(recording.recorded, std::ssize(keys) - 2);
  EXPECT_EQ(recording.keys, keys);
  for (const TraceKey& key : keys) {
    const Trace trace = store.Read(key);
    const Trace expected = pair_->store->Read(key);
    EXPECT_EQ(trace.tokens, expected.tokens);
    EXPECT_TRUE(std::equal(trace.features.begin(), trace.features.end(), expected.features.begin(),
                           expected.features.end()));
  }

  Evaluation evaluation(*pair_->verifier.model, store, {keys.begin(), keys.begin() + 3},
                        {.num_speculative_tokens = {2, 5},
                         .max_positions = 2048,
                         .timed_prompts = 1,
                         .live = true,
                         .live_batch = 2});
  EXPECT_EQ(evaluation.TimeWithoutDrafts().size(), 3u);
  const std::vector<DrafterRun> runs = evaluation.Evaluate(*pair_->drafter.model, {});
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0].k, 2);
  ASSERT_EQ(runs[1].rounds.size(), 3u);
  // A start at every answer token but the last.
  const AcceptanceCounts every = CountRounds(runs[1].every_position);
  EXPECT_EQ(every.drafts, evaluation.answer_tokens() - 3);
  EXPECT_GT(every.drafts, CountRounds(runs[1].rounds).drafts);
  for (size_t i = 0; i < runs[1].rounds.size(); ++i) {
    // Drafts of a smaller k are the first of the larger one's.
    const Round& two = runs[0].rounds[i].rounds.at(0);
    const Round& five = runs[1].rounds[i].rounds.at(0);
    EXPECT_TRUE(std::equal(two.drafts.begin(), two.drafts.end(), five.drafts.begin()));
  }
}

TEST_F(TinyPairTest, RefusesWhatWasNotRecorded) {
  const auto replayer = [&](const TraceStore& store, int64_t drafts) {
    Replayer(*pair_->backend, *pair_->drafter.model, store, drafts);
  };
  EXPECT_NO_THROW(replayer(*pair_->store, 9));
  EXPECT_THROW(replayer(*pair_->store, 10), Error);  // the tail has 8 tokens
  TraceManifest manifest = pair_->Manifest();
  manifest.aux_layer_ids.pop_back();
  const TraceStore store(pair_->directory.path() / "fewer-layers", manifest);
  EXPECT_THROW(replayer(store, kDrafts), Error);
}

}  // namespace
}  // namespace talon

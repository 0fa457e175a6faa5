// The EAGLE-3 drafter and the verifier's features against
// tests/data/eagle3-tiny/reference.safetensors (a plain PyTorch transcription of specs/eagle3.md in
// float32, confirmed by real vLLM).
#include <gtest/gtest.h>

#include "talon/base/error.h"
#include "talon/engine/batch_builder.h"
#include "talon/engine/feature_extractor.h"
#include "talon/model/load.h"
#include "tests/support/tensor_values.h"
#include "tests/support/test_data.h"

namespace talon::test {
namespace {

constexpr double kTolerance = 1e-5;

std::vector<float> Floats(Backend& backend, const Tensor& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.rows * tensor.cols));
  backend.Download(tensor.data, static_cast<int64_t>(values.size() * sizeof(float)), values.data());
  return values;
}

class Eagle3Tiny : public testing::Test {
 protected:
  void SetUp() override {
    TALON_REQUIRE_PATH(SharedPath("models/tiny-gemma4/verifier"));
    backend_ = MakeBackend({TestDevice(), 0});
    verifier_ = LoadVerifier(*backend_, SharedPath("models/tiny-gemma4/verifier"), {DType::kF32});
    drafter_ = LoadDrafter(DemoPath("drafter"), {DType::kF32}, *verifier_.model);
    prompt_ = Values<int32_t>(reference_, "prompt_ids");
  }

  TensorStore reference_ = TensorStore::OpenFile(TestData("eagle3-tiny/reference.safetensors"));
  std::unique_ptr<Backend> backend_;
  LoadedVerifier verifier_;
  LoadedDrafter drafter_;
  std::vector<int32_t> prompt_;
};

TEST_F(Eagle3Tiny, FeaturesAreTheVerifiersResidualStreams) {
  const auto ids = drafter_.model->aux_layer_ids();
  FeatureExtractor extractor(*verifier_.model, {ids.begin(), ids.end()}, 128);
  const Tensor features = extractor.Run(prompt_);
  EXPECT_LT(
      RelativeError(Floats(*backend_, features), Values<float>(reference_, "aux_hidden_states")),
      kTolerance);
}

TEST_F(Eagle3Tiny, FirstPassAndFiveDraftSteps) {
  const Eagle3Drafter& drafter = *drafter_.model;
  Arena arena(*backend_);
  std::vector<float> aux = Values<float>(reference_, "aux_hidden_states");
  const auto rows = static_cast<int64_t>(prompt_.size());
  const int32_t next = Values<int32_t>(reference_, "next_id")[0];
  std::vector<int32_t> successors(prompt_.begin() + 1, prompt_.end());
  successors.push_back(next);

  const Tensor features = arena.Take(rows, drafter.feature_size(), DType::kF32);
  backend_->Upload(aux.data(), static_cast<int64_t>(aux.size() * sizeof(float)), features.data);
  const Tensor fused = drafter.Fuse(features, arena);
  EXPECT_LT(RelativeError(Floats(*backend_, fused), Values<float>(reference_, "fc_output")),
            kTolerance);

  SequencePages pages;
  for (int32_t page = 0; page < 6; ++page) pages.global.push_back(page);
  KvLayer cache = drafter.MakeKvLayer(6, DType::kF32);
  BatchBuilder builder;
  builder.Add(successors, 0, pages);
  const Tensor states = drafter.Forward(builder.Upload(*backend_, arena), fused, cache, arena);
  EXPECT_LT(
      RelativeError(Floats(*backend_, states), Values<float>(reference_, "first_pass_hidden")),
      kTolerance);

  const auto expected_logits = Values<float>(reference_, "draft_logits");
  const auto expected_ids = Values<int32_t>(reference_, "draft_ids");
  const int64_t vocab = drafter.draft_vocab_size();
  Tensor state = states.Rows(rows - 1, 1);
  for (int64_t step = 0; step < 5; ++step) {
    const Tensor logits = arena.Take(1, vocab, DType::kF32);
    drafter.Logits(state, logits, arena);
    const auto begin = expected_logits.begin() + step * vocab;
    EXPECT_LT(RelativeError(Floats(*backend_, logits), {begin, begin + vocab}), kTolerance)
        << "step " << step;
    auto* chosen = arena.TakeArray<int32_t>(1);
    backend_->Argmax(logits, chosen);
    backend_->MapDraftIds(drafter.draft_id_offsets(), 1, chosen);
    int32_t id = 0;
    backend_->Download(chosen, sizeof(id), &id);
    EXPECT_EQ(id, expected_ids[static_cast<size_t>(step)]);
    BatchBuilder one;
    one.Add({&id, 1}, rows + step, pages);
    state = drafter.Forward(one.Upload(*backend_, arena), state, cache, arena);
  }
}

TEST_F(Eagle3Tiny, PairsThatDoNotBelongTogetherAreRefused) {
  const LoadedVerifier other = LoadVerifier(*backend_, TestData("gemma4-dense"), {DType::kF32});
  try {
    LoadDrafter(drafter_.directory, {DType::kF32}, *other.model);
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("do not belong together"), std::string::npos);
  }
}

}  // namespace
}  // namespace talon::test

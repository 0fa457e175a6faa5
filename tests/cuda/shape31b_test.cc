// Four layers of random weights in the 31B's shapes: logits of a row are the same bits for every
// chunking and batch, and text is the same with and without drafts. Runs where $TALON_TEST_DEVICE
// is cuda: 4 GB of weights.
#include <gtest/gtest.h>

#include <random>

#include "talon/bench/bench_shapes.h"
#include "talon/bench/random_source.h"
#include "talon/engine/batch_builder.h"
#include "talon/engine/engine.h"
#include "talon/engine/kv_pool.h"
#include "talon/model/eagle3.h"
#include "tests/cuda/oracle_drafter.h"
#include "tests/support/test_data.h"

namespace talon::test {
namespace {

constexpr ModelOptions kOptions = {DType::kBF16, LinearNumerics::kWeightOnly};

LinearFormat FormatOf(const std::string& module) {
  const bool embedding = module.find("embed_tokens") != std::string::npos;
  return embedding ? LinearFormat::kBF16 : LinearFormat::kNvfp4;
}

struct RandomPair {
  std::unique_ptr<Backend> backend = MakeBackend({"cuda", 0});
  std::unique_ptr<GemmaModel> verifier;
  std::unique_ptr<Eagle3Drafter> drafter;

  RandomPair() {
    BenchShape shape = FindBenchShape("gemma-4-31b");
    const auto sliding = AttentionKind::kSliding;
    shape.verifier.layer_types = {sliding, sliding, AttentionKind::kFull, sliding};
    shape.drafter.aux_layer_ids = {1, 2, 3};
    RandomSource source(*backend, 5, FormatOf);
    verifier = std::make_unique<GemmaModel>(*backend, shape.verifier, source, kOptions);
    RandomSource drafter_source(*backend, 6, FormatOf);
    drafter = std::make_unique<Eagle3Drafter>(shape.drafter, drafter_source, kOptions, *verifier);
  }
};

std::vector<int32_t> RandomIds(uint32_t seed, size_t count) {
  std::mt19937 random(seed);
  std::vector<int32_t> ids(count);
  for (int32_t& id : ids) id = static_cast<int32_t>(random() % 262144);
  return ids;
}

// Logits of the rows of `texts`, whose sequences advance by chunks of the given sizes in turn.
std::vector<std::vector<float>> LogitsOf(const RandomPair& pair,
                                         const std::vector<std::vector<int32_t>>& texts,
                                         const std::vector<size_t>& chunks) {
  const GemmaModel& model = *pair.verifier;
  KvPool pool(model, nullptr, {64, 64, DType::kBF16, DType::kBF16, /*poison=*/true});
  std::vector<SequencePages> pages(texts.size());
  std::vector<std::vector<float>> logits(texts.size());
  std::vector<size_t> done(texts.size(), 0);
  Arena arena(*pair.backend);
  const auto vocab = static_cast<size_t>(model.config().vocab_size);
  for (size_t step = 0;; ++step) {
    arena.Reset();
    BatchBuilder builder;
    std::vector<size_t> counts(texts.size(), 0);
    size_t rows = 0;
    for (size_t s = 0; s < texts.size(); ++s) {
      counts[s] = std::min(chunks[(step + s) % chunks.size()], texts[s].size() - done[s]);
      if (counts[s] == 0) continue;
      const auto end = static_cast<int64_t>(done[s] + counts[s]);
      pool.Extend(pages[s], end, end);
      builder.Add(std::span(texts[s]).subspan(done[s], counts[s]), static_cast<int64_t>(done[s]),
                  pages[s]);
      rows += counts[s];
    }
    if (rows == 0) return logits;
    const ForwardBatch batch = builder.Upload(*pair.backend, arena);
    const Tensor hidden = model.Forward(batch, pool.verifier_layers(), {}, arena);
    const Tensor out = arena.Take(hidden.rows, model.config().vocab_size, DType::kF32);
    model.Logits(hidden, out, arena);
    std::vector<float> host(rows * vocab);
    pair.backend->Download(out.data, static_cast<int64_t>(host.size() * sizeof(float)),
                           host.data());
    auto at = host.begin();
    for (size_t s = 0; s < texts.size(); ++s) {
      const auto end = at + static_cast<int64_t>(counts[s] * vocab);
      logits[s].insert(logits[s].end(), at, end);
      at = end;
      done[s] += counts[s];
    }
  }
}

class Shape31B : public testing::Test {
 protected:
  void SetUp() override {
    if (TestDevice() != "cuda") GTEST_SKIP() << "set TALON_TEST_DEVICE=cuda";
  }
};

TEST_F(Shape31B, RowsDoNotDependOnChunksAndBatch) {
  const RandomPair pair;
  const std::vector<std::vector<int32_t>> texts = {RandomIds(1, 150), RandomIds(2, 90),
                                                   RandomIds(3, 20)};
  const auto whole = LogitsOf(pair, texts, {1000});
  for (const std::vector<size_t>& chunks :
       {std::vector<size_t>{1}, std::vector<size_t>{4, 1, 2}, std::vector<size_t>{33, 70, 5}}) {
    EXPECT_TRUE(LogitsOf(pair, texts, chunks) == whole) << chunks[0];
  }
  for (size_t s = 0; s < texts.size(); ++s) {
    EXPECT_TRUE(LogitsOf(pair, {texts[s]}, {16, 1})[0] == whole[s]) << "alone, text " << s;
  }
}

TEST_F(Shape31B, DraftsChangeNoToken) {
  const RandomPair pair;
  std::vector<GenerationRequest> requests;
  for (uint32_t i = 0; i < 6; ++i) {
    GenerationRequest request;
    request.prompt_ids = RandomIds(20 + i, 10 + 60 * (i % 3));
    request.max_tokens = 128;
    request.sampling.temperature = i % 2 == 0 ? 0.0 : 1.0;
    request.sampling.top_k = i % 2 == 0 ? 0 : 64;
    request.sampling.seed = i;
    requests.push_back(request);
  }
  EngineOptions alone;
  alone.max_num_seqs = 1;
  alone.max_model_len = 512;
  Engine plain(*pair.verifier, nullptr, alone);
  std::vector<std::vector<int32_t>> expected;
  std::vector<std::vector<int32_t>> texts;
  for (const GenerationResult& result : plain.Generate(requests)) {
    expected.push_back(result.tokens);
    texts.push_back(requests[expected.size() - 1].prompt_ids);
    texts.back().insert(texts.back().end(), result.tokens.begin(), result.tokens.end());
  }
  const OracleDrafter oracle(*pair.drafter, *pair.backend, pair.verifier->config().vocab_size,
                             texts);
  for (const int64_t k : {1, 3, 8}) {
    EngineOptions options = alone;
    options.max_num_seqs = 6;
    options.num_speculative_tokens = k;
    options.poison_dead_pages = true;
    options.max_num_batched_tokens = k == 3 ? 64 : 2048;
    Engine engine(*pair.verifier, &oracle, options);
    int64_t accepted = 0;
    const auto results = engine.Generate(requests);
    for (size_t i = 0; i < results.size(); ++i) {
      EXPECT_EQ(results[i].tokens, expected[i]) << "k = " << k << ", request " << i;
      for (const Round& round : results[i].rounds) accepted += round.accepted;
    }
    EXPECT_GT(accepted, 100) << "the oracle is often right";
  }
}

}  // namespace
}  // namespace talon::test

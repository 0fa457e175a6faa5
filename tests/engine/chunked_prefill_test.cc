// enable_chunked_prefill off: prompts are read whole, and the answers are the same.
#include <gtest/gtest.h>

#include <map>

#include "tests/engine/micro_pair.h"

namespace talon::test {
namespace {

std::vector<GenerationRequest> Prompts() {
  std::vector<GenerationRequest> requests;
  for (uint32_t i = 0; i < 6; ++i) {
    requests.push_back(MicroRequest(MicroIds(i, 40 + 70 * i), 30, i % 2 == 0 ? 0.0 : 0.8, i));
  }
  return requests;
}

// Rows that a request's first step had.
std::map<int64_t, int64_t> FirstRows(const MicroPair& pair, const EngineOptions& options) {
  Engine engine(*pair.verifier.model, nullptr, options);
  std::map<int64_t, int64_t> rows;
  engine.SetFeatureSink([&](int64_t request, int64_t first_position, const Tensor& features) {
    if (first_position == 0) rows[request] = features.rows;
  });
  engine.Generate(Prompts());
  return rows;
}

TEST(ChunkedPrefill, OffReadsEveryPromptInOneStep) {
  const MicroPair pair;
  EngineOptions options;
  options.capture_layer_ids = {2};
  options.max_num_batched_tokens = 64;
  int64_t whole = 0;
  for (const auto& [request, rows] : FirstRows(pair, options)) {
    whole += rows == 40 + 70 * request ? 1 : 0;
  }
  EXPECT_LT(whole, 6) << "chunks of at most 64 tokens";
  options.enable_chunked_prefill = false;
  for (const auto& [request, rows] : FirstRows(pair, options)) {
    EXPECT_EQ(rows, 40 + 70 * request);
  }
}

TEST(ChunkedPrefill, OffChangesNoAnswer) {
  const MicroPair pair;
  const auto expected = Texts(Answer(pair, EngineOptions(), Prompts()));
  for (const int64_t k : {0, 3}) {
    EngineOptions options;
    options.num_speculative_tokens = k;
    options.enable_chunked_prefill = false;
    options.max_num_batched_tokens = 16;
    options.kv_pages = {96, 80};  // preempts
    options.poison_dead_pages = true;
    EXPECT_EQ(Texts(Answer(pair, options, Prompts())), expected) << k;
  }
}

}  // namespace
}  // namespace talon::test

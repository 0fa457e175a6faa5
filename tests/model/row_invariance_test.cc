// The contract's heart: a row's logits are the same bits however the rows reach the model - in one
// pass, in chunks of any size, one by one, beside other sequences, with any number of threads. Dead
// KV slots hold NaN. The mutants at the end show that the comparison notices a wrong page.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <utility>

#include "tests/model/verifier_harness.h"
#include "tests/support/test_data.h"

namespace talon::test {
namespace {

constexpr int64_t kLength = 300;

std::vector<int32_t> RandomTokens(int64_t vocab, uint32_t seed, int64_t length) {
  std::mt19937 random(seed);
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < length; ++i) {
    tokens.push_back(static_cast<int32_t>(random() % static_cast<uint32_t>(vocab)));
  }
  return tokens;
}

VerifierHarness::Plan Chunked(int64_t length, int64_t chunk) {
  VerifierHarness::Plan plan;
  for (int64_t begin = 0; begin < length; begin += chunk) {
    plan.push_back({{0, std::min(chunk, length - begin)}});
  }
  return plan;
}

// Sequence 0 in chunks that change size, interleaved with decode steps of sequences 1 and 2.
VerifierHarness::Plan Mixed() {
  VerifierHarness::Plan plan = {{{0, 17}, {1, 40}, {2, 3}}};
  int64_t done = 17;
  for (int64_t step = 0; done < kLength; ++step) {
    const int64_t chunk = std::min<int64_t>(1 + (step * 5) % 23, kLength - done);
    plan.push_back({{1, 1}, {0, chunk}, {2, 1 + step % 4}});
    done += chunk;
  }
  return plan;
}

class RowInvariance : public testing::TestWithParam<std::pair<const char*, DType>> {
 protected:
  std::filesystem::path directory() const { return TestData(GetParam().first); }
  DType dtype() const { return GetParam().second; }
};

TEST_P(RowInvariance, SameBitsInEveryChunkingAndBatch) {
  VerifierHarness harness(directory(), dtype());
  const int64_t vocab = harness.model().config().vocab_size;
  const TokenLists sequences = {RandomTokens(vocab, 1, kLength), RandomTokens(vocab, 2, kLength),
                                RandomTokens(vocab, 3, kLength)};
  const FloatLists whole = harness.Run({sequences[0]}, Chunked(kLength, kLength));
  for (const int64_t chunk : {1, 2, 5, 16, 33, 64, 100}) {
    const FloatLists chunked = harness.Run({sequences[0]}, Chunked(kLength, chunk));
    EXPECT_TRUE(chunked[0] == whole[0]) << "chunk size " << chunk;
  }
  const FloatLists mixed = harness.Run(sequences, Mixed());
  EXPECT_TRUE(mixed[0] == whole[0]) << "beside other sequences";
}

TEST_P(RowInvariance, SameBitsForAnyNumberOfThreads) {
  FloatLists first;
  for (const int threads : {1, 2, 3, 5}) {
    VerifierHarness harness(directory(), dtype(), threads);
    const auto tokens = RandomTokens(harness.model().config().vocab_size, 4, kLength);
    const FloatLists logits = harness.Run({tokens}, Chunked(kLength, 70));
    if (first.empty()) first = logits;
    EXPECT_TRUE(logits == first) << threads << " threads";
  }
}

TEST_P(RowInvariance, NoticesANeighboursPage) {
  VerifierHarness harness(directory(), dtype());
  const int64_t vocab = harness.model().config().vocab_size;
  const TokenLists sequences = {RandomTokens(vocab, 5, 64), RandomTokens(vocab, 6, 64)};
  const VerifierHarness::Plan plan = {{{0, 63}, {1, 63}}, {{0, 1}, {1, 1}}};
  const FloatLists right = harness.Run(sequences, plan);
  int step = 0;
  harness.corrupt_pages = [&](std::vector<SequencePages>& pages) {
    if (step++ == 0) return;  // the second pass of sequence 0 reads a page of sequence 1
    pages[0].global[2] = pages[1].global[2];
  };
  const FloatLists wrong = harness.Run(sequences, plan);
  EXPECT_FALSE(wrong[0] == right[0]);
  EXPECT_TRUE(wrong[1] == right[1]);
}

TEST_P(RowInvariance, NoticesAStalePage) {
  VerifierHarness harness(directory(), dtype());
  const auto tokens = RandomTokens(harness.model().config().vocab_size, 7, 64);
  const VerifierHarness::Plan plan = {{{0, 32}}, {{0, 16}}, {{0, 16}}};
  const FloatLists right = harness.Run({tokens}, plan);
  int step = 0;
  harness.corrupt_pages = [&](std::vector<SequencePages>& pages) {
    // The last pass reads page 0 where the second one wrote page 2.
    if (step++ == 2) pages[0].global[2] = pages[0].global[0];
  };
  EXPECT_FALSE(harness.Run({tokens}, plan)[0] == right[0]);
}

std::string ParameterName(const testing::TestParamInfo<std::pair<const char*, DType>>& info) {
  std::string name = std::string(info.param.first) + "_" + std::string(Name(info.param.second));
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Models, RowInvariance,
                         testing::Values(std::make_pair("gemma4-dense", DType::kBF16),
                                         std::make_pair("gemma4-dense", DType::kF32),
                                         std::make_pair("gemma3", DType::kBF16)),
                         ParameterName);

}  // namespace
}  // namespace talon::test

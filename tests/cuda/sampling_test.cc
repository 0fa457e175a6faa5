// Argmax, sampling and verification on the device give the CPU's tokens.
#include <cmath>

#include "tests/cuda/both_backends.h"
#include "tests/cuda/device_test.h"

namespace talon::cuda {
namespace {

constexpr int64_t kVocab = 5003;

std::vector<int32_t> SampleOn(Backend& backend, const std::vector<float>& logits,
                              const std::vector<SamplingRow>& rows) {
  const auto count = static_cast<int64_t>(rows.size());
  Matrix matrix(backend, DType::kF32, count, kVocab);
  matrix.Set(logits);
  const Array<SamplingRow> how(backend, rows);
  const Array<int32_t> tokens(backend, std::vector<int32_t>(rows.size(), -7));
  backend.Sample(matrix.tensor(), how.get(), tokens.get());
  return tokens.Get();
}

TEST(SamplingTest, EqualsTheCpuForEveryFilter) {
  TALON_REQUIRE_GPU();
  const auto cpu = cpu::MakeCpuBackend(1);
  CudaBackend gpu(0);
  std::mt19937 random(21);
  std::vector<SamplingRow> rows;
  for (int i = 0; i < 300; ++i) {
    SamplingRow row;
    row.temperature = i % 10 == 0 ? 0.0f : 0.3f + 0.1f * static_cast<float>(i % 13);
    row.top_k = i % 3 == 0 ? 0 : 1 + i % 70;
    row.top_p = i % 4 == 0 ? 1.0f : 0.1f + 0.08f * static_cast<float>(i % 11);
    row.min_p = i % 5 == 0 ? 0.05f : 0.0f;
    row.seed = 1000 + i / 7;
    row.position = i;
    rows.push_back(row);
  }
  const std::vector<float> logits =
      RandomFloats(random, static_cast<int64_t>(rows.size()) * kVocab, 3.0f);
  EXPECT_EQ(SampleOn(gpu, logits, rows), SampleOn(*cpu, logits, rows));
}

TEST(SamplingTest, ArgmaxTakesTheLowestOfEqualsAndReportsNan) {
  TALON_REQUIRE_GPU();
  CudaBackend gpu(0);
  std::vector<float> logits(3 * kVocab, -1.0f);
  logits[77] = logits[4000] = 2.0f;
  logits[kVocab + 5002] = 0.5f;
  logits[2 * kVocab + 10] = NAN;
  Matrix matrix(gpu, DType::kF32, 3, kVocab);
  matrix.Set(logits);
  const Array<int32_t> tokens(gpu, {0, 0, 0});
  gpu.Argmax(matrix.tensor(), tokens.get());
  EXPECT_EQ(tokens.Get(), (std::vector<int32_t>{77, 5002, -1}));
}

TEST(VerifyDraftsTest, CountsTheAgreementOfEachSequence) {
  TALON_REQUIRE_GPU();
  CudaBackend gpu(0);
  // Sequences of 4, 1 and 3 rows: x, drafts ...
  const Array<int32_t> inputs(gpu, {1, 5, 6, 7, 2, 3, 8, 9});
  const Array<int32_t> tokens(gpu, {5, 6, 0, 4, 4, 8, 9, 1});
  const Array<int32_t> begin(gpu, {0, 4, 5, 8});
  const Array<int32_t> accepted(gpu, {-1, -1, -1});
  gpu.VerifyDrafts(inputs.get(), tokens.get(), {8, 3, begin.get(), nullptr}, accepted.get());
  EXPECT_EQ(accepted.Get(), (std::vector<int32_t>{2, 0, 2}));
}

TEST(MapDraftIdsTest, AddsTheOffsetOfEachId) {
  TALON_REQUIRE_GPU();
  CudaBackend gpu(0);
  const Array<int32_t> offsets(gpu, {0, 3, 10});
  const Array<int32_t> ids(gpu, {2, 0, 1, 2});
  gpu.MapDraftIds(offsets.get(), 4, ids.get());
  EXPECT_EQ(ids.Get(), (std::vector<int32_t>{12, 0, 4, 12}));
}

}  // namespace
}  // namespace talon::cuda

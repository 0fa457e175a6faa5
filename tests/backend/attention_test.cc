// KV write and attention over paged sequences.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "talon/backend/backend.h"
#include "talon/backend/cpu/reference.h"
#include "tests/backend/host_tensor.h"

namespace talon::test {
namespace {

TEST(Attention, OneSequenceMatchesPlainSoftmaxOverItsOwnKeys) {
  constexpr int64_t kTokens = 40, kHeads = 4, kKvHeads = 2, kDim = 64;
  const auto backend = MakeBackend({.device = "cpu", .num_threads = 2});
  std::mt19937 random(3);
  HostTensor q(DType::kF32, kTokens, kHeads * kDim), k(DType::kF32, kTokens, kKvHeads * kDim),
      v(DType::kF32, kTokens, kKvHeads * kDim), out(DType::kF32, kTokens, kHeads * kDim),
      rope(DType::kF32, kTokens, kDim);
  q.Randomize(random, 0.3f);
  k.Randomize(random, 0.3f);
  v.Randomize(random);
  std::vector<int32_t> positions(kTokens);
  std::iota(positions.begin(), positions.end(), 0);
  const std::vector<float> inv_freq(kDim / 2, 0.0f);  // no rotation
  backend->RopeTable(positions.data(), inv_freq.data(), DType::kF32, rope);
  KvLayer cache = backend->MakeKvLayer(5, kKvHeads, kDim, DType::kF32);
  const int32_t pages[] = {4, 0, 2};
  const int32_t row_begin[] = {0, kTokens};
  const RowBatch rows{kTokens, 1, row_begin, positions.data()};
  QkvParams qkv;
  qkv.q = q;
  qkv.k = k;
  qkv.v = v;
  qkv.num_heads = kHeads;
  qkv.rope = rope;
  qkv.rows = rows;
  qkv.table = {pages, 3};
  qkv.cache = &cache;
  backend->QkvNormRopeWrite(qkv);
  AttentionParams params;
  params.q = q;
  params.out = out;
  params.num_heads = kHeads;
  params.scale = 0.5f;
  params.window = 24;
  params.rows = rows;
  params.table = {pages, 3};
  params.cache = &cache;
  backend->Attention(params);
  for (int64_t i = 0; i < kTokens; ++i) {
    for (int64_t h = 0; h < kHeads; ++h) {
      std::vector<double> expected(kDim, 0.0);
      double total = 0.0;
      for (int64_t j = std::max<int64_t>(0, i - 23); j <= i; ++j) {
        double score = 0.0;
        for (int64_t d = 0; d < kDim; ++d) {
          score += static_cast<double>(q.at(i, h * kDim + d)) * k.at(j, h / 2 * kDim + d);
        }
        const double weight = std::exp(0.5 * score);
        total += weight;
        for (int64_t d = 0; d < kDim; ++d) {
          expected[static_cast<size_t>(d)] += weight * v.at(j, h / 2 * kDim + d);
        }
      }
      for (int64_t d = 0; d < kDim; ++d) {
        ASSERT_NEAR(out.at(i, h * kDim + d), expected[static_cast<size_t>(d)] / total, 2e-6);
      }
    }
  }
}

}  // namespace
}  // namespace talon::test

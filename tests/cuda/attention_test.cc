// Attention and KV write of the CUDA backend against the CPU's scalar definition: head sizes,
// grouped queries, window, page types; and its own bits for every way to cut the rows. Dead slots
// hold NaN.
#include <cmath>
#include <numeric>

#include "talon/backend/cuda/attention.h"
#include "tests/cuda/both_backends.h"
#include "tests/cuda/device_test.h"

namespace talon::cuda {
namespace {

struct Case {
  int64_t heads;
  int64_t kv_heads;
  int64_t head_dim;
  int64_t window;
  DType cache;
  int64_t tokens;
};

// One sequence over scattered pages: writes K and V of all tokens, then attends from the last rows.
class Sequence {
 public:
  Sequence(Backend& backend, const Case& c)
      : backend_(backend),
        c_(c),
        pages_((c.tokens + kKvPageTokens - 1) / kKvPageTokens),
        cache_(backend.MakeKvLayer(pages_ + 3, c.kv_heads, c.head_dim, c.cache)),
        table_(backend, ScatteredPages()) {
    const auto bytes = (pages_ + 3) * c.kv_heads * c.head_dim * kKvPageTokens * SizeOf(c.cache);
    const std::vector<uint8_t> poison(static_cast<size_t>(bytes), 0xFF);  // NaN in every type
    backend.Upload(poison.data(), bytes, cache_.keys.get());
    backend.Upload(poison.data(), bytes, cache_.values.get());
    if (c.cache == DType::kF8E4M3) {
      cache_.k_scale = 0.02f;
      cache_.v_scale = 0.03f;
    }
  }

  void Write(const std::vector<float>& k, const std::vector<float>& v) {
    const int64_t width = c_.kv_heads * c_.head_dim;
    Matrix keys(backend_, DType::kBF16, c_.tokens, width);
    Matrix values(backend_, DType::kBF16, c_.tokens, width);
    Matrix queries(backend_, DType::kBF16, c_.tokens, c_.heads * c_.head_dim);
    queries.Set(std::vector<float>(static_cast<size_t>(c_.tokens * c_.heads * c_.head_dim), 1.0f));
    keys.Set(k);
    values.Set(v);
    const std::vector<float> gain(static_cast<size_t>(c_.head_dim), 1.25f);
    const Array<float> k_gain(backend_, gain);
    const Array<int32_t> positions(backend_, Positions(0, c_.tokens));
    const Array<int32_t> begin(backend_, {0, static_cast<int32_t>(c_.tokens)});
    std::vector<float> frequencies;
    for (int64_t i = 0; i < c_.head_dim / 2; ++i) frequencies.push_back(1.0f / (1.0f + i));
    const Array<float> inv_freq(backend_, frequencies);
    Matrix rope(backend_, DType::kF32, c_.tokens, c_.head_dim);
    backend_.RopeTable(positions.get(), inv_freq.get(), DType::kBF16, rope.tensor());
    QkvParams p;
    p.q = queries.tensor();
    p.k = keys.tensor();
    p.v = values.tensor();
    p.num_heads = c_.heads;
    p.k_gain = k_gain.get();
    p.v_norm = true;
    p.rope = rope.tensor();
    p.rows = {c_.tokens, 1, begin.get(), positions.get()};
    p.table = {table_.get(), pages_};
    p.cache = &cache_;
    backend_.QkvNormRopeWrite(p);
    rotated_ = keys.Get();
  }

  std::vector<float> Attend(const std::vector<float>& q, int64_t first, int64_t rows) {
    const int64_t width = c_.heads * c_.head_dim;
    Matrix queries(backend_, DType::kBF16, rows, width);
    queries.Set(std::vector<float>(q.begin() + (first - (c_.tokens - kQueries)) * width,
                                   q.begin() + (first - (c_.tokens - kQueries) + rows) * width));
    Matrix out(backend_, DType::kF32, rows, width);
    const Array<int32_t> positions(backend_, Positions(first, rows));
    const Array<int32_t> begin(backend_, {0, static_cast<int32_t>(rows)});
    AttentionParams p;
    p.q = queries.tensor();
    p.out = out.tensor();
    p.num_heads = c_.heads;
    p.scale = 0.1f;
    p.window = c_.window;
    p.rows = {rows, 1, begin.get(), positions.get()};
    p.table = {table_.get(), pages_};
    p.cache = &cache_;
    backend_.Attention(p);
    return out.Get();
  }

  const std::vector<float>& rotated() const { return rotated_; }
  static constexpr int64_t kQueries = 70;

 private:
  std::vector<int32_t> ScatteredPages() const {
    std::vector<int32_t> pages(static_cast<size_t>(pages_));
    for (int64_t i = 0; i < pages_; ++i) pages[i] = static_cast<int32_t>((i * 7 + 2) % pages_ + 2);
    std::vector<bool> seen(static_cast<size_t>(pages_ + 3), false);
    for (int32_t& page : pages) {  // 7 may divide the count: make them distinct
      while (seen[page]) page = static_cast<int32_t>((page - 1) % pages_ + 2);
      seen[page] = true;
    }
    return pages;
  }
  static std::vector<int32_t> Positions(int64_t first, int64_t rows) {
    std::vector<int32_t> positions(static_cast<size_t>(rows));
    std::iota(positions.begin(), positions.end(), static_cast<int32_t>(first));
    return positions;
  }

  Backend& backend_;
  Case c_;
  int64_t pages_;
  KvLayer cache_;
  Array<int32_t> table_;
  std::vector<float> rotated_;
};

class AttentionTest : public testing::TestWithParam<Case> {};

TEST_P(AttentionTest, MatchesTheScalarDefinitionAndItself) {
  TALON_REQUIRE_GPU();
  const Case c = GetParam();
  const auto cpu = cpu::MakeCpuBackend(2);
  CudaBackend gpu(0);
  std::mt19937 random(11);
  const std::vector<float> k = RandomFloats(random, c.tokens * c.kv_heads * c.head_dim);
  const std::vector<float> v = RandomFloats(random, c.tokens * c.kv_heads * c.head_dim);
  const std::vector<float> q = RandomFloats(random, Sequence::kQueries * c.heads * c.head_dim);
  Sequence on_cpu(*cpu, c), on_gpu(gpu, c);
  on_cpu.Write(k, v);
  on_gpu.Write(k, v);
  const int64_t first = c.tokens - Sequence::kQueries;
  const std::vector<float> expected = on_cpu.Attend(q, first, Sequence::kQueries);
  const std::vector<float> all = on_gpu.Attend(q, first, Sequence::kQueries);  // one block a row
  double error = 0.0, norm = 0.0;
  for (size_t i = 0; i < all.size(); ++i) {
    error += std::pow(all[i] - expected[i], 2.0);
    norm += std::pow(expected[i], 2.0);
  }
  // A key that rounds the other way moves the result by a BF16 (FP8) step of that key.
  EXPECT_LT(std::sqrt(error / norm), c.cache == DType::kF8E4M3 ? 1e-2 : 2e-3);
  for (const int64_t rows : {1, 4, 64}) {  // a block per split
    const std::vector<float> few = on_gpu.Attend(q, c.tokens - rows, rows);
    const std::vector<float> same(all.end() - static_cast<int64_t>(few.size()), all.end());
    EXPECT_EQ(few, same) << rows << " rows";
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, AttentionTest,
    testing::Values(Case{4, 1, 64, 0, DType::kF32, 90}, Case{4, 2, 64, 33, DType::kBF16, 600},
                    Case{8, 8, 128, 0, DType::kBF16, 300}, Case{4, 2, 256, 300, DType::kBF16, 1000},
                    Case{4, 2, 256, 300, DType::kF8E4M3, 1000},
                    Case{8, 1, 512, 0, DType::kBF16, 700}, Case{4, 1, 128, 0, DType::kBF16, 4300},
                    Case{2, 1, 96, 50, DType::kBF16, 200},
                    Case{12, 1, 128, 0, DType::kF8E4M3, 290}));

}  // namespace
}  // namespace talon::cuda

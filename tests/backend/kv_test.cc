// Per-head norms, RoPE and the KV write; page copies.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "talon/backend/backend.h"
#include "talon/backend/cpu/qkv.h"
#include "talon/backend/cpu/reference.h"
#include "tests/backend/host_tensor.h"
#include "tests/backend/targets.h"

namespace talon::test {
namespace {

struct QkvCase {
  int64_t num_heads = 4;
  int64_t num_kv_heads = 2;
  int64_t head_dim = 64;
  DType dtype = DType::kBF16;
  DType cache_dtype = DType::kBF16;
  bool norms = true;  // q and k gains
  bool v_norm = true;
  bool v_is_k = false;  // V is the raw K projection
};

// q, k and v as column slices of one projection, two sequences, one position in a page given back.
class QkvRun {
 public:
  QkvRun(Backend& backend, const QkvCase& c)
      : case_(c),
        fused_(c.dtype, kRows, (c.num_heads + 2 * c.num_kv_heads) * c.head_dim + 8),
        rope_(DType::kF32, kRows, c.head_dim) {
    std::mt19937 random(31);
    fused_.Randomize(random, 2.0f);
    std::normal_distribution<float> normal(1.0f, 0.3f);
    for (int64_t i = 0; i < c.head_dim; ++i) {
      q_gain_.push_back(normal(random));
      k_gain_.push_back(normal(random));
    }
    std::vector<float> inv_freq;
    for (int64_t i = 0; i < c.head_dim / 2; ++i) {
      inv_freq.push_back(std::pow(100.0f, -static_cast<float>(i) / 16.0f));
    }
    backend.RopeTable(positions_.data(), inv_freq.data(), c.dtype, rope_);
    cache_ = backend.MakeKvLayer(6, c.num_kv_heads, c.head_dim, c.cache_dtype);
    bytes_ = static_cast<size_t>(6 * c.num_kv_heads * c.head_dim * kKvPageTokens *
                                 SizeOf(c.cache_dtype));
    std::memset(cache_.keys.get(), 0, bytes_);
    std::memset(cache_.values.get(), 0, bytes_);
    if (c.cache_dtype == DType::kF8E4M3) {
      cache_.k_scale = 0.013f;
      cache_.v_scale = 0.02f;
    }
  }

  QkvParams Params() {
    const int64_t q_cols = case_.num_heads * case_.head_dim;
    const int64_t kv_cols = case_.num_kv_heads * case_.head_dim;
    QkvParams params;
    params.q = fused_.view().Cols(0, q_cols);
    params.k = fused_.view().Cols(q_cols, kv_cols);
    if (!case_.v_is_k) params.v = fused_.view().Cols(q_cols + kv_cols, kv_cols);
    params.num_heads = case_.num_heads;
    if (case_.norms) {
      params.q_gain = q_gain_.data();
      params.k_gain = k_gain_.data();
    }
    params.v_norm = case_.v_norm;
    params.rope = rope_;
    params.rows = {kRows, 2, row_begin_.data(), positions_.data()};
    params.table = {pages_.data(), 3};
    params.cache = &cache_;
    return params;
  }

  std::vector<uint8_t> CacheBytes() const {
    std::vector<uint8_t> bytes(2 * bytes_);
    std::memcpy(bytes.data(), cache_.keys.get(), bytes_);
    std::memcpy(bytes.data() + bytes_, cache_.values.get(), bytes_);
    return bytes;
  }

  static constexpr int64_t kRows = 7;
  const HostTensor& fused() const { return fused_; }
  const HostTensor& rope() const { return rope_; }
  const KvLayer& cache() const { return cache_; }
  const std::vector<float>& k_gain() const { return k_gain_; }

 private:
  QkvCase case_;
  HostTensor fused_;
  HostTensor rope_;
  KvLayer cache_;
  size_t bytes_ = 0;
  std::vector<float> q_gain_;
  std::vector<float> k_gain_;
  std::vector<int32_t> positions_ = {14, 15, 16, 17, 3, 4, 5};
  std::vector<int32_t> row_begin_ = {0, 4, 7};
  std::vector<int32_t> pages_ = {5, 2, -1, -1, 0, 1};  // the second sequence's first page is gone
};

std::vector<QkvCase> Cases() {
  std::vector<QkvCase> cases;
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const DType cache : {DType::kF32, DType::kBF16, DType::kF8E4M3}) {
      cases.push_back({4, 2, 64, dtype, cache});
    }
    cases.push_back({4, 1, 256, dtype, DType::kBF16, true, true, true});
    cases.push_back({4, 4, 32, dtype, DType::kBF16, false, false, false});
    cases.push_back({2, 1, 20, dtype, DType::kBF16, true, false, false});
  }
  return cases;
}

TEST(QkvNormRopeWrite, HasTheBitsOfItsDefinition) {
  const auto backend = MakeBackend({.device = "cpu", .num_threads = 2});
  ForEachTarget([&] {
    for (const QkvCase& c : Cases()) {
      QkvRun fast(*backend, c);
      QkvRun reference(*backend, c);
      cpu::RunQkvNormRopeWrite(fast.Params(), {0, QkvRun::kRows});
      cpu::reference::QkvNormRopeWrite(reference.Params(), {0, QkvRun::kRows});
      EXPECT_EQ(fast.CacheBytes(), reference.CacheBytes());
      for (int64_t r = 0; r < QkvRun::kRows; ++r) {
        for (int64_t col = 0; col < c.num_heads * c.head_dim; ++col) {
          ASSERT_EQ(fast.fused().at(r, col), reference.fused().at(r, col));
        }
      }
    }
  });
}

TEST(QkvNormRopeWrite, FollowsTheFormulaInFloat64) {
  const auto backend = MakeBackend({.device = "cpu", .num_threads = 2});
  const QkvCase c = {4, 2, 64, DType::kF32, DType::kF32, true, true, true};
  QkvRun run(*backend, c);
  const HostTensor before = run.fused();
  backend->QkvNormRopeWrite(run.Params());
  const int64_t k_begin = c.num_heads * c.head_dim;
  for (int64_t h = 0; h < c.num_kv_heads; ++h) {
    // Row 2: position 16 of the first sequence, slot 0 of page 2.
    std::vector<double> x;
    double squares = 0.0;
    for (int64_t i = 0; i < 64; ++i) {
      x.push_back(before.at(2, k_begin + h * 64 + i));
      squares += x.back() * x.back();
    }
    const double inverse = 1.0 / std::sqrt(squares / 64.0 + 1e-6);
    for (int64_t i = 0; i < 32; ++i) {
      const auto at = static_cast<size_t>(i);
      const double low = x[at] * inverse * run.k_gain()[at];
      const double high = x[at + 32] * inverse * run.k_gain()[at + 32];
      const double cosine = run.rope().at(2, i);
      const double sine = run.rope().at(2, 32 + i);
      const auto* keys = static_cast<const float*>(run.cache().keys.get());
      const auto* values = static_cast<const float*>(run.cache().values.get());
      EXPECT_NEAR(keys[cpu::KeyIndex(run.cache(), 2, h, 0, i)], low * cosine - high * sine, 2e-6);
      EXPECT_NEAR(keys[cpu::KeyIndex(run.cache(), 2, h, 0, i + 32)], high * cosine + low * sine,
                  2e-6);
      EXPECT_NEAR(values[cpu::ValueIndex(run.cache(), 2, h, 0, i)], x[at] * inverse, 2e-6);
    }
  }
}

TEST(QkvNormRopeWrite, WritesToMissingPagesAreDroppedAndOthersLandInTheirSlots) {
  const auto backend = MakeBackend({.device = "cpu", .num_threads = 2});
  QkvRun run(*backend, {4, 2, 64, DType::kBF16, DType::kBF16});
  backend->QkvNormRopeWrite(run.Params());
  const auto* keys = static_cast<const uint16_t*>(run.cache().keys.get());
  for (int64_t page = 0; page < 6; ++page) {
    for (int64_t slot = 0; slot < kKvPageTokens; ++slot) {
      bool written = false;
      for (int64_t i = 0; i < 64; ++i) {
        written = written || keys[cpu::KeyIndex(run.cache(), page, 1, slot, i)] != 0;
      }
      // Positions 14 and 15 in page 5, 16 and 17 in page 2; the second sequence has no page.
      const bool expected = (page == 5 && slot >= 14) || (page == 2 && slot <= 1);
      EXPECT_EQ(written, expected) << "page " << page << " slot " << slot;
    }
  }
}

TEST(CopyPage, CopiesKeysAndValuesOfOnePage) {
  const auto backend = MakeBackend({.device = "cpu", .num_threads = 2});
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF8E4M3}) {
    KvLayer layer = backend->MakeKvLayer(4, 2, 32, dtype);
    const auto page_bytes = static_cast<size_t>(2 * 32 * kKvPageTokens * SizeOf(dtype));
    for (const Buffer& buffer : {layer.keys, layer.values}) {
      for (size_t i = 0; i < 4 * page_bytes; ++i) {
        static_cast<uint8_t*>(buffer.get())[i] = static_cast<uint8_t>(i / page_bytes * 10 + i % 7);
      }
    }
    backend->CopyPage(layer, 3, 1);
    for (const Buffer& buffer : {layer.keys, layer.values}) {
      const auto* bytes = static_cast<const uint8_t*>(buffer.get());
      EXPECT_EQ(std::memcmp(bytes + page_bytes, bytes + 3 * page_bytes, page_bytes), 0);
      EXPECT_EQ(bytes[0], 0);
      EXPECT_EQ(bytes[2 * page_bytes] / 10, 2);
    }
  }
}

}  // namespace
}  // namespace talon::test

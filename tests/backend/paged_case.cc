// See paged_case.h.
#include "tests/backend/paged_case.h"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace talon::test {
namespace {

int64_t CountRows(const std::vector<NewRows>& sequences) {
  int64_t rows = 0;
  for (const NewRows& s : sequences) rows += s.end - s.begin;
  return rows;
}

int64_t PagesFor(int64_t tokens) { return (tokens + kKvPageTokens - 1) / kKvPageTokens; }

}  // namespace

PagedCase::PagedCase(Backend& backend, const PagedShape& shape,
                     const std::vector<NewRows>& sequences, unsigned seed)
    : shape_(shape),
      num_rows_(CountRows(sequences)),
      q_(shape.dtype, num_rows_, shape.num_heads * shape.head_dim,
         shape.num_heads * shape.head_dim + 16) {
  std::mt19937 random(seed);
  q_.Randomize(random, 2.0f / std::sqrt(static_cast<float>(shape.head_dim)));
  row_begin_.push_back(0);
  for (const NewRows& s : sequences) {
    for (int64_t p = s.begin; p < s.end; ++p) positions_.push_back(static_cast<int32_t>(p));
    row_begin_.push_back(static_cast<int32_t>(positions_.size()));
    table_stride_ = std::max(table_stride_, PagesFor(s.end) + 1);
  }
  const auto num_pages = static_cast<int64_t>(sequences.size()) * table_stride_ + 3;
  cache_ = backend.MakeKvLayer(num_pages, shape.num_kv_heads, shape.head_dim, shape.cache_dtype);
  cache_.k_scale = shape.cache_dtype == DType::kF8E4M3 ? 0.02f : 1.0f;
  cache_.v_scale = shape.cache_dtype == DType::kF8E4M3 ? 0.015f : 1.0f;
  FillCache(sequences, random);
}

void PagedCase::FillCache(const std::vector<NewRows>& sequences, std::mt19937& random) {
  const int64_t elements = cache_.num_pages * cache_.num_kv_heads * cache_.head_dim * kKvPageTokens;
  const auto bytes = static_cast<size_t>(elements * SizeOf(cache_.dtype));
  std::memset(cache_.keys.get(), 0xFF, bytes);  // NaN in every type
  std::memset(cache_.values.get(), 0xFF, bytes);
  std::vector<int32_t> free(static_cast<size_t>(cache_.num_pages));
  std::iota(free.begin(), free.end(), 0);
  std::shuffle(free.begin(), free.end(), random);
  pages_.assign(sequences.size() * static_cast<size_t>(table_stride_), -1);
  std::normal_distribution<float> normal;
  for (size_t s = 0; s < sequences.size(); ++s) {
    const int64_t first_seen =
        shape_.window == 0 ? 0 : std::max<int64_t>(0, sequences[s].begin - shape_.window + 1);
    // The slot before the first seen one has a page too, so that a mutant that reads it finds NaN.
    const int64_t first_kept = std::max<int64_t>(0, first_seen - 1);
    for (int64_t p = first_kept / kKvPageTokens * kKvPageTokens; p < sequences[s].end; ++p) {
      int32_t& page =
          pages_[s * static_cast<size_t>(table_stride_) + static_cast<size_t>(p / kKvPageTokens)];
      if (page < 0) {
        page = free.back();
        free.pop_back();
      }
      if (p < first_seen) continue;  // in a page that is still there, but out of every window
      for (int64_t h = 0; h < cache_.num_kv_heads; ++h) {
        for (int64_t i = 0; i < cache_.head_dim; ++i) {
          const int64_t slot = p % kKvPageTokens;
          cpu::StoreElement(cache_.keys.get(), cache_.dtype,
                            cpu::KeyIndex(cache_, page, h, slot, i),
                            normal(random) / cache_.k_scale);
          cpu::StoreElement(cache_.values.get(), cache_.dtype,
                            cpu::ValueIndex(cache_, page, h, slot, i),
                            normal(random) / cache_.v_scale);
        }
      }
    }
  }
}

HostTensor PagedCase::MakeOut() const {
  return {shape_.dtype, num_rows_, shape_.num_heads * shape_.head_dim,
          shape_.num_heads * shape_.head_dim + 5};
}

AttentionParams PagedCase::AllRows(const Tensor& out) {
  AttentionParams params;
  params.q = q_;
  params.out = out;
  params.num_heads = shape_.num_heads;
  params.scale = 0.7f;
  params.window = shape_.window;
  params.rows = {num_rows_, static_cast<int64_t>(row_begin_.size()) - 1, row_begin_.data(),
                 positions_.data()};
  params.table = {pages_.data(), table_stride_};
  params.cache = &cache_;
  return params;
}

AttentionParams PagedCase::Params(int64_t sequence, int64_t begin, int64_t end, const Tensor& out) {
  const int64_t first = first_row(sequence) + begin;
  one_row_begin_ = {0, static_cast<int32_t>(end - begin)};
  AttentionParams params = AllRows(out.Rows(first, end - begin));
  params.q = q_.view().Rows(first, end - begin);
  params.rows = {end - begin, 1, one_row_begin_.data(), positions_.data() + first};
  params.table.pages = pages_.data() + sequence * table_stride_;
  return params;
}

}  // namespace talon::test

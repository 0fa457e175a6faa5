// Sequences of random keys and values in scattered KV pages for attention tests. Everything no
// query may see is NaN: slots beyond a sequence, unused pages, and pages that left the window.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "talon/backend/backend.h"
#include "tests/backend/host_tensor.h"

namespace talon::test {

struct PagedShape {
  int64_t num_heads = 4;
  int64_t num_kv_heads = 2;
  int64_t head_dim = 64;
  int64_t window = 0;
  DType cache_dtype = DType::kBF16;
  DType dtype = DType::kBF16;
};

// The new rows of a sequence: positions [begin, end), all earlier ones cached.
struct NewRows {
  int64_t begin = 0;
  int64_t end = 0;
};

class PagedCase {
 public:
  PagedCase(Backend& backend, const PagedShape& shape, const std::vector<NewRows>& sequences,
            unsigned seed);

  // Attention parameters of rows [begin, end) of sequence `sequence`'s new rows (all sequences when
  // negative), writing to `out`. Valid until the next call.
  AttentionParams Params(int64_t sequence, int64_t begin, int64_t end, const Tensor& out);
  AttentionParams AllRows(const Tensor& out);

  int64_t num_rows() const { return num_rows_; }
  // The first row of a sequence in q.
  int64_t first_row(int64_t sequence) const { return row_begin_[static_cast<size_t>(sequence)]; }
  HostTensor& q() { return q_; }
  KvLayer& cache() { return cache_; }
  std::vector<int32_t>& pages() { return pages_; }
  int64_t table_stride() const { return table_stride_; }
  HostTensor MakeOut() const;

 private:
  void FillCache(const std::vector<NewRows>& sequences, std::mt19937& random);

  PagedShape shape_;
  int64_t num_rows_ = 0;
  int64_t table_stride_ = 0;
  std::vector<int32_t> row_begin_;  // [sequences + 1]
  std::vector<int32_t> positions_;  // [rows]
  std::vector<int32_t> pages_;      // [sequences, table_stride]
  std::vector<int32_t> one_row_begin_;
  KvLayer cache_;
  HostTensor q_;
};

}  // namespace talon::test

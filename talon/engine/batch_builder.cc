#include "talon/engine/batch_builder.h"

#include <algorithm>

namespace talon {
namespace {

// Appends a rectangular [sequences, stride] table padded with -1; returns the stride.
int64_t AppendTable(const std::vector<const SequencePages*>& sequences,
                    std::vector<int32_t> SequencePages::*family, std::vector<int32_t>& packed) {
  size_t stride = 1;
  for (const SequencePages* pages : sequences) stride = std::max(stride, (pages->*family).size());
  for (const SequencePages* pages : sequences) {
    const std::vector<int32_t>& row = pages->*family;
    packed.insert(packed.end(), row.begin(), row.end());
    packed.insert(packed.end(), stride - row.size(), -1);
  }
  return static_cast<int64_t>(stride);
}

}  // namespace

void BatchBuilder::Add(std::span<const int32_t> tokens, int64_t first_position,
                       const SequencePages& pages) {
  tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  for (size_t i = 0; i < tokens.size(); ++i) {
    positions_.push_back(static_cast<int32_t>(first_position + static_cast<int64_t>(i)));
  }
  row_begin_.push_back(static_cast<int32_t>(tokens_.size()));
  pages_.push_back(&pages);
}

ForwardBatch BatchBuilder::Upload(Backend& backend, Arena& arena) const {
  std::vector<int32_t> packed = tokens_;
  const size_t positions_at = packed.size();
  packed.insert(packed.end(), positions_.begin(), positions_.end());
  const size_t row_begin_at = packed.size();
  packed.insert(packed.end(), row_begin_.begin(), row_begin_.end());
  const size_t sliding_at = packed.size();
  const int64_t sliding_stride = AppendTable(pages_, &SequencePages::sliding, packed);
  const size_t global_at = packed.size();
  const int64_t global_stride = AppendTable(pages_, &SequencePages::global, packed);

  const int32_t* data = UploadArray<int32_t>(backend, arena, packed);
  ForwardBatch batch;
  batch.token_ids = data;
  batch.rows = {num_rows(), num_sequences(), data + row_begin_at, data + positions_at};
  batch.tables.sliding = {data + sliding_at, sliding_stride};
  batch.tables.global = {data + global_at, global_stride};
  return batch;
}

}  // namespace talon

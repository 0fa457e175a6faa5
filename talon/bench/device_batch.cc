#include "talon/bench/device_batch.h"

#include <algorithm>
#include <numeric>

namespace talon {
Buffer UploadInts(Backend& backend, const std::vector<int32_t>& values) {
  const auto bytes = static_cast<int64_t>(values.size() * sizeof(int32_t));
  Buffer buffer = backend.Allocate(bytes);
  backend.Upload(values.data(), bytes, buffer.get());
  return buffer;
}

DeviceBatch::DeviceBatch(Backend& backend, int64_t max_rows, int64_t num_sequences,
                         int64_t pages_per_sequence)
    : backend_(backend),
      num_sequences_(num_sequences),
      stride_(pages_per_sequence),
      host_(static_cast<size_t>(num_sequences + 1 + max_rows), 0) {
  rows_ = UploadInts(backend, host_);
  std::vector<int32_t> pages(static_cast<size_t>(num_sequences * pages_per_sequence));
  std::iota(pages.begin(), pages.end(), 0);
  tables_ = UploadInts(backend, pages);
}

void DeviceBatch::Set(const RowPlan& plan) {
  auto row = static_cast<size_t>(num_sequences_ + 1);
  int32_t end = 0;
  for (size_t s = 0; s < plan.counts.size(); ++s) {
    for (int32_t i = 0; i < plan.counts[s]; ++i) host_[row++] = plan.first[s] + i;
    end += plan.counts[s];
    host_[s + 1] = end;
  }
}

void DeviceBatch::Upload() {
  backend_.Upload(host_.data(), static_cast<int64_t>(host_.size() * sizeof(int32_t)), rows_.get());
}

ForwardBatch DeviceBatch::Batch(int64_t num_rows, const int32_t* token_ids) const {
  const auto* begin = static_cast<const int32_t*>(rows_.get());
  const auto* pages = static_cast<const int32_t*>(tables_.get());
  ForwardBatch batch;
  batch.rows = {num_rows, num_sequences_, begin, begin + num_sequences_ + 1};
  batch.token_ids = token_ids;
  batch.tables.sliding = {pages, stride_};
  batch.tables.global = {pages, stride_};
  return batch;
}

}  // namespace talon

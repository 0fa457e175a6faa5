// Rows, positions and page tables at fixed places in backend memory, so that recorded ops can be
// run again after one small copy.
#pragma once

#include <cstdint>
#include <vector>

#include "talon/model/forward_batch.h"

namespace talon {

// What one forward pass runs on: sequence s has counts[s] rows from position first[s] on.
struct RowPlan {
  std::vector<int32_t> counts;
  std::vector<int32_t> first;
};

// The values in backend memory of their own.
Buffer UploadInts(Backend& backend, const std::vector<int32_t>& values);

class DeviceBatch {
 public:
  // Every sequence owns `pages_per_sequence` pages of both families, one after another.
  DeviceBatch(Backend& backend, int64_t max_rows, int64_t num_sequences,
              int64_t pages_per_sequence);

  // Puts a plan into the host copy; Upload() sends it.
  void Set(const RowPlan& plan);
  void Upload();
  // The batch of `num_rows` rows of all sequences; `token_ids` lie elsewhere.
  ForwardBatch Batch(int64_t num_rows, const int32_t* token_ids) const;

 private:
  Backend& backend_;
  int64_t num_sequences_;
  int64_t stride_;
  std::vector<int32_t> host_;  // row_begin [sequences + 1], positions [max_rows]
  Buffer rows_;
  Buffer tables_;  // [sequences, stride]
};

}  // namespace talon

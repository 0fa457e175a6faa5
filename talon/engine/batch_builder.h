// Collects the rows of one forward pass on the host and puts them into backend memory in one copy.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "talon/engine/kv_pool.h"
#include "talon/model/forward_batch.h"

namespace talon {

class BatchBuilder {
 public:
  // Appends one sequence's rows: `tokens` at positions first_position, first_position + 1, ...
  // `pages` must outlive Upload().
  void Add(std::span<const int32_t> tokens, int64_t first_position, const SequencePages& pages);

  int64_t num_rows() const { return static_cast<int64_t>(tokens_.size()); }
  int64_t num_sequences() const { return static_cast<int64_t>(pages_.size()); }
  bool empty() const { return tokens_.empty(); }

  // The batch, living in `arena`.
  ForwardBatch Upload(Backend& backend, Arena& arena) const;

 private:
  std::vector<int32_t> tokens_;
  std::vector<int32_t> positions_;
  std::vector<int32_t> row_begin_ = {0};
  std::vector<const SequencePages*> pages_;
};

// Puts a host array into backend memory.
template <typename T>
T* UploadArray(Backend& backend, Arena& arena, std::span<const T> values) {
  T* data = arena.TakeArray<T>(static_cast<int64_t>(values.size()));
  backend.Upload(values.data(), static_cast<int64_t>(values.size_bytes()), data);
  return data;
}

}  // namespace talon

// Features of decoded rows that the drafter has not read yet, because no drafts were wanted. A pass
// over many rows costs little more than one over a single row, so they are read together, when
// drafts are wanted again or the place runs out.
#pragma once

#include <cstdint>
#include <vector>

#include "talon/backend/backend.h"

namespace talon {

// What a sequence holds here.
struct DeferredRows {
  int32_t place = -1;  // -1: none
  int64_t rows = 0;
};

class DeferredFeatures {
 public:
  // Places for `places` sequences, `rows` rows each.
  DeferredFeatures(Backend& backend, int64_t places, int64_t rows, int64_t columns, DType dtype);

  // False, and nothing changed, when the sequence's place has no room for `features`.
  bool Append(DeferredRows& held, const Tensor& features /* [rows, columns] */);
  // In order, backend memory.
  Tensor Rows(const DeferredRows& held) const;
  void Clear(DeferredRows& held);

  // Rows a place has room for: 128, or fewer where that takes more than 64 MiB in all.
  static int64_t RowsPerPlace(int64_t places, int64_t row_bytes);

 private:
  Backend& backend_;
  int64_t rows_;
  Buffer memory_;
  Tensor features_;  // [places * rows, columns]
  std::vector<int32_t> free_;
};

}  // namespace talon

#include "talon/engine/deferred_features.h"

#include <algorithm>

#include "talon/base/error.h"

namespace talon {

DeferredFeatures::DeferredFeatures(Backend& backend, int64_t places, int64_t rows, int64_t columns,
                                   DType dtype)
    : backend_(backend),
      rows_(rows),
      memory_(backend.Allocate(places * rows * columns * SizeOf(dtype))),
      features_{memory_.get(), dtype, places * rows, columns, columns} {
  for (int64_t place = places; place-- > 0;) free_.push_back(static_cast<int32_t>(place));
}

bool DeferredFeatures::Append(DeferredRows& held, const Tensor& features) {
  if (held.rows + features.rows > rows_) return false;
  if (held.place < 0) {
    CheckInternal(!free_.empty(), "every running sequence has a place for its features");
    held.place = free_.back();
    free_.pop_back();
  }
  backend_.Copy(features, features_.Rows(held.place * rows_ + held.rows, features.rows));
  held.rows += features.rows;
  return true;
}

Tensor DeferredFeatures::Rows(const DeferredRows& held) const {
  return features_.Rows(std::max<int64_t>(held.place, 0) * rows_, held.rows);
}

void DeferredFeatures::Clear(DeferredRows& held) {
  if (held.place >= 0) free_.push_back(held.place);
  held = DeferredRows();
}

int64_t DeferredFeatures::RowsPerPlace(int64_t places, int64_t row_bytes) {
  constexpr int64_t kMostBytes = int64_t{64} << 20;
  constexpr int64_t kMostRows = 128;
  return std::clamp<int64_t>(kMostBytes / (places * row_bytes), 1, kMostRows);
}

}  // namespace talon

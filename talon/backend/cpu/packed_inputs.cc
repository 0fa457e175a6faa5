// See packed_inputs.h.
#include "talon/backend/cpu/packed_inputs.h"

#include <algorithm>
#include <cstring>

#include "talon/backend/cpu/aligned_memory.h"
#include "talon/backend/cpu/pack_row.h"

namespace talon::cpu {

void PackedInputs::Reserve(int64_t size_bytes) {
  if (size_bytes <= capacity_bytes_) return;
  memory_ = AllocateAligned(size_bytes);
  capacity_bytes_ = size_bytes;
}

namespace {

// Few rows make one tile, so that the weights are read once; many make tiles of the shape that
// reuses registers best.
int64_t TileRows(int64_t rows, InputKind kind) {
  if (rows == 1) return 1;
  const int64_t most = kind == InputKind::kBf16 ? kMaxTileRows : 4;
  return rows > most ? 4 : (rows + 1) / 2 * 2;
}

}  // namespace

void PackedInputs::Pack(const Tensor& x, InputKind kind, float input_scale, ThreadPool& pool) {
  kind_ = kind;
  rows_ = x.rows;
  tile_rows_ = TileRows(x.rows, kind);
  num_steps_ = (x.cols + StepElements(kind) - 1) / StepElements(kind);
  const int64_t element_bytes = kind == InputKind::kBf16 ? 2 : 4;
  Reserve(num_tiles() * tile_stride() * element_bytes);
  pool.Run(num_tiles(), [&](int64_t tile) {
    auto* base = static_cast<std::byte*>(memory_.get()) + tile * tile_stride() * element_bytes;
    std::memset(base, 0, static_cast<size_t>(tile_stride() * element_bytes));
    const int64_t begin = tile * tile_rows_;
    for (int64_t row = begin; row < std::min(rows_, begin + tile_rows_); ++row) {
      const PackTarget target = {.first = base + (row - begin) * StepElements(kind) * element_bytes,
                                 .dtype = kind == InputKind::kBf16 ? DType::kBF16 : DType::kF32,
                                 .step_elements = StepElements(kind),
                                 .step_stride = tile_rows_ * StepElements(kind)};
      PackRow(x.Rows(row, 1).data, x.dtype, x.cols, input_scale, target);
    }
  });
}

void PackedInputs::UnpackRow(int64_t row, std::span<float> out) const {
  const int64_t step_elements = StepElements(kind_);
  const float* tile = f32() + row / tile_rows_ * tile_stride();
  for (size_t i = 0; i < out.size(); ++i) {
    const auto k = static_cast<int64_t>(i);
    out[i] = tile[(k / step_elements * tile_rows_ + row % tile_rows_) * step_elements +
                  k % step_elements];
  }
}

}  // namespace talon::cpu

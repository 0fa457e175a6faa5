// See packed_inputs.h.
#include "talon/backend/cpu/packed_inputs.h"

#include <algorithm>
#include <cstring>

#include "talon/backend/cpu/aligned_memory.h"
#include "talon/backend/cpu/element.h"
#include "talon/numeric/nvfp4.h"

namespace talon::cpu {

void PackedInputs::Reserve(int64_t size_bytes) {
  if (size_bytes <= capacity_bytes_) return;
  memory_ = AllocateAligned(size_bytes);
  capacity_bytes_ = size_bytes;
}

namespace {

// One tile up to 8 rows, so that the weights are read once; beyond, the shape that reuses registers
// best.
int64_t TileRows(int64_t rows) {
  if (rows > kMaxTileRows) return 4;
  return rows == 1 ? 1 : (rows + 1) / 2 * 2;
}

}  // namespace

void PackedInputs::Pack(const Tensor& x, InputKind kind, float input_scale, ThreadPool& pool) {
  kind_ = kind;
  rows_ = x.rows;
  tile_rows_ = TileRows(x.rows);
  num_steps_ = (x.cols + StepElements(kind) - 1) / StepElements(kind);
  const int64_t element_bytes = kind == InputKind::kBf16 ? 2 : 4;
  Reserve(num_tiles() * tile_stride() * element_bytes);
  pool.Run(num_tiles(), [&](int64_t tile) {
    std::memset(static_cast<std::byte*>(memory_.get()) + tile * tile_stride() * element_bytes, 0,
                static_cast<size_t>(tile_stride() * element_bytes));
    const int64_t end = std::min(rows_, (tile + 1) * tile_rows_);
    for (int64_t row = tile * tile_rows_; row < end; ++row) PackRow(x, row, input_scale);
  });
}

namespace {

// The values of columns [begin, begin + count) as FP32, quantized in blocks of 16 for W4A4.
void LoadStep(const Tensor& x, int64_t row, int64_t begin, int64_t count, float input_scale,
              float* values /* [count] */) {
  for (int64_t i = 0; i < count; ++i) values[i] = Load(x, row, begin + i);
  if (input_scale <= 0.0f) return;
  for (int64_t i = 0; i < count; i += kNvfp4BlockSize) {
    float block[kNvfp4BlockSize];
    QuantizeActivationBlock(values + i, input_scale, block);
    std::copy_n(block, kNvfp4BlockSize, values + i);
  }
}

}  // namespace

void PackedInputs::PackRow(const Tensor& x, int64_t row, float input_scale) {
  const int64_t step_elements = StepElements(kind_);
  const int64_t first =
      row / tile_rows_ * tile_stride() + row % tile_rows_ * step_elements;  // of the row's step 0
  const bool copy = kind_ == InputKind::kBf16 && x.dtype == DType::kBF16 && input_scale <= 0.0f;
  for (int64_t step = 0; step < num_steps_; ++step) {
    const int64_t begin = step * step_elements;
    const int64_t count = std::min(step_elements, x.cols - begin);
    const int64_t to = first + step * tile_rows_ * step_elements;
    if (copy) {
      std::memcpy(static_cast<uint16_t*>(memory_.get()) + to, RowBf16(x, row) + begin,
                  static_cast<size_t>(count) * sizeof(uint16_t));
      continue;
    }
    float values[32];
    LoadStep(x, row, begin, count, input_scale, values);
    const DType dtype = kind_ == InputKind::kBf16 ? DType::kBF16 : DType::kF32;
    for (int64_t i = 0; i < count; ++i) StoreElement(memory_.get(), dtype, to + i, values[i]);
  }
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

// Input rows of a linear in the order its kernels read them.
#pragma once

#include <cstdint>
#include <span>

#include "talon/backend/tensor.h"
#include "talon/base/thread_pool.h"

namespace talon::cpu {

// What the products of a linear multiply: 32 BF16 pairs per step (VDPBF16PS) or 16 FP32 lanes.
enum class InputKind : uint8_t { kBf16, kF32 };

constexpr int64_t StepElements(InputKind kind) { return kind == InputKind::kBf16 ? 32 : 16; }

inline constexpr int64_t kMaxTileRows = 8;

// Rows in tiles of 1, 2 or 4 (BF16: also 6 or 8, when that is all), laid out
// [tile][step][row of tile][element of step]; rows beyond the last and columns beyond K are zero.
// The memory is kept and grows as needed.
class PackedInputs {
 public:
  // Packs x [rows, k]. With `input_scale` > 0 the rows are quantized to NVFP4 blocks first (W4A4).
  void Pack(const Tensor& x, InputKind kind, float input_scale, ThreadPool& pool);

  // A row packed as kF32, in order.
  void UnpackRow(int64_t row, std::span<float> out /* [k] */) const;

  InputKind kind() const { return kind_; }
  int64_t rows() const { return rows_; }
  int64_t tile_rows() const { return tile_rows_; }
  int64_t num_tiles() const { return (rows_ + tile_rows_ - 1) / tile_rows_; }
  // Elements from one tile to the next.
  int64_t tile_stride() const { return num_steps_ * tile_rows_ * StepElements(kind_); }
  const uint16_t* bf16() const { return static_cast<const uint16_t*>(memory_.get()); }
  const float* f32() const { return static_cast<const float*>(memory_.get()); }

 private:
  void Reserve(int64_t size_bytes);

  InputKind kind_ = InputKind::kF32;
  int64_t rows_ = 0;
  int64_t tile_rows_ = 1;
  int64_t num_steps_ = 0;
  int64_t capacity_bytes_ = 0;
  Buffer memory_;
};

}  // namespace talon::cpu

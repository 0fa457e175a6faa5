#include "talon/quantize/activation_range.h"

#include <algorithm>

#include "talon/base/error.h"
#include "talon/numeric/bf16.h"
#include "talon/numeric/nvfp4.h"

namespace talon {
namespace {

constexpr uint32_t kInfinityBits = 0x7F80;

uint32_t MagnitudeBits(const Tensor& rows, int64_t row, int64_t col) {
  const int64_t at = row * rows.row_stride + col;
  const uint16_t bits = rows.dtype == DType::kBF16
                            ? static_cast<const uint16_t*>(rows.data)[at]
                            : FloatToBf16(static_cast<const float*>(rows.data)[at]);
  return bits & 0x7FFFu;
}

}  // namespace

void ActivationRange::Add(const Tensor& rows, std::string_view linear) {
  if (counts_.empty()) counts_.resize(kInfinityBits, 0);
  for (int64_t row = 0; row < rows.rows; ++row) {
    for (int64_t col = 0; col < rows.cols; col += kNvfp4BlockSize) {
      uint32_t largest = 0;
      const int64_t end = std::min(col + kNvfp4BlockSize, rows.cols);
      for (int64_t c = col; c < end; ++c) largest = std::max(largest, MagnitudeBits(rows, row, c));
      if (largest >= kInfinityBits) {
        Throw(ErrorCode::kDataLoss,
              "calibration: the input of {} holds NaN or infinity; the verifier or drafter weights "
              "are damaged, run `talon check` on both",
              linear);
      }
      ++counts_[largest];
      ++num_blocks_;
    }
  }
}

float ActivationRange::amax() const {
  for (size_t bits = counts_.size(); bits-- > 0;) {
    if (counts_[bits] > 0) return Bf16ToFloat(static_cast<uint16_t>(bits));
  }
  return 0.0f;
}

double ActivationRange::ShareAbove(float range) const {
  if (num_blocks_ == 0) return 0.0;
  int64_t above = 0;
  for (size_t bits = counts_.size(); bits-- > 0;) {
    if (Bf16ToFloat(static_cast<uint16_t>(bits)) <= range) break;
    above += counts_[bits];
  }
  return static_cast<double>(above) / static_cast<double>(num_blocks_);
}

void ActivationRange::Merge(const ActivationRange& other) {
  if (other.counts_.empty()) return;
  if (counts_.empty()) counts_.resize(kInfinityBits, 0);
  for (size_t bits = 0; bits < counts_.size(); ++bits) counts_[bits] += other.counts_[bits];
  num_blocks_ += other.num_blocks_;
}

}  // namespace talon

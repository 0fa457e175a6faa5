// Tensors in host memory for backend tests, with random or poisoned contents.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "talon/backend/cpu/element.h"
#include "talon/backend/tensor.h"

namespace talon::test {

// Owns memory of [rows, row_stride] elements, all NaN at first, and views [rows, cols] of it.
class HostTensor {
 public:
  HostTensor(DType dtype, int64_t rows, int64_t cols, int64_t row_stride = 0)
      : memory_(static_cast<size_t>(rows * (row_stride > 0 ? row_stride : cols) * SizeOf(dtype)),
                uint8_t{0xFF}) {
    view_ = {memory_.data(), dtype, rows, cols, row_stride > 0 ? row_stride : cols};
  }
  HostTensor(const HostTensor& other) : memory_(other.memory_), view_(other.view_) {
    view_.data = memory_.data();
  }
  HostTensor& operator=(const HostTensor&) = delete;

  const Tensor& view() const { return view_; }
  operator const Tensor&() const { return view_; }  // NOLINT: tests pass it as the view
  float at(int64_t row, int64_t col) const { return cpu::Load(view_, row, col); }
  void set(int64_t row, int64_t col, float value) { cpu::Store(view_, row, col, value); }

  // Fills the view (not the gap between rows) with normal values times `scale`.
  HostTensor& Randomize(std::mt19937& random, float scale = 1.0f) {
    std::normal_distribution<float> normal(0.0f, scale);
    for (int64_t r = 0; r < view_.rows; ++r) {
      for (int64_t c = 0; c < view_.cols; ++c) set(r, c, normal(random));
    }
    return *this;
  }

  // The elements of one row.
  std::vector<float> Row(int64_t row) const {
    std::vector<float> values(static_cast<size_t>(view_.cols));
    for (int64_t c = 0; c < view_.cols; ++c) values[static_cast<size_t>(c)] = at(row, c);
    return values;
  }

  // All bytes, the gaps between rows too: equal bytes mean equal bits and no stray writes.
  const std::vector<uint8_t>& bytes() const { return memory_; }

 private:
  std::vector<uint8_t> memory_;
  Tensor view_;
};

// Random weights of any format; `memory` owns them.
struct HostWeights {
  HostLinear linear;
  std::vector<uint8_t> data;
  std::vector<uint8_t> block_scales;
  std::vector<float> row_scales;
};
HostWeights RandomWeights(LinearFormat format, int64_t out_features, int64_t in_features,
                          std::mt19937& random);

}  // namespace talon::test

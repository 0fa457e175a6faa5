// The same data on the CPU backend and on the CUDA backend, for comparing ops.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "talon/backend/backend.h"
#include "talon/backend/cpu/cpu_backend.h"
#include "talon/backend/cuda/cuda_backend.h"
#include "talon/numeric/bf16.h"

namespace talon::cuda {

// A matrix in one backend's memory.
class Matrix {
 public:
  Matrix(Backend& backend, DType dtype, int64_t rows, int64_t cols, int64_t row_stride = 0)
      : backend_(&backend) {
    tensor_ = {nullptr, dtype, rows, cols, row_stride == 0 ? cols : row_stride};
    buffer_ = backend.Allocate(Bytes());
    tensor_.data = buffer_.get();
  }

  const Tensor& tensor() const { return tensor_; }

  void Set(const std::vector<float>& values) {  // [rows * row_stride]
    if (tensor_.dtype == DType::kF32) {
      backend_->Upload(values.data(), Bytes(), tensor_.data);
      return;
    }
    std::vector<uint16_t> bits;
    for (const float value : values) bits.push_back(FloatToBf16(value));
    backend_->Upload(bits.data(), Bytes(), tensor_.data);
  }

  std::vector<float> Get() const {
    std::vector<float> values(static_cast<size_t>(tensor_.rows * tensor_.row_stride));
    if (tensor_.dtype == DType::kF32) {
      backend_->Download(tensor_.data, Bytes(), values.data());
      return values;
    }
    std::vector<uint16_t> bits(values.size());
    backend_->Download(tensor_.data, Bytes(), bits.data());
    for (size_t i = 0; i < bits.size(); ++i) values[i] = Bf16ToFloat(bits[i]);
    return values;
  }

 private:
  int64_t Bytes() const { return tensor_.rows * tensor_.row_stride * SizeOf(tensor_.dtype); }

  Backend* backend_;
  Buffer buffer_;
  Tensor tensor_;
};

// A plain array in one backend's memory.
template <class T>
class Array {
 public:
  Array(Backend& backend, const std::vector<T>& values)
      : backend_(&backend), count_(values.size()) {
    buffer_ = backend.Allocate(static_cast<int64_t>(count_ * sizeof(T)));
    backend.Upload(values.data(), static_cast<int64_t>(count_ * sizeof(T)), buffer_.get());
  }
  T* get() const { return static_cast<T*>(buffer_.get()); }
  std::vector<T> Get() const {
    std::vector<T> values(count_);
    backend_->Download(buffer_.get(), static_cast<int64_t>(count_ * sizeof(T)), values.data());
    return values;
  }

 private:
  Backend* backend_;
  size_t count_;
  Buffer buffer_;
};

inline std::vector<float> RandomFloats(std::mt19937& random, int64_t count,
                                       float deviation = 1.0f) {
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<float> values(static_cast<size_t>(count));
  // BF16 values, so that both types hold the same numbers.
  for (float& value : values) value = Bf16ToFloat(FloatToBf16(normal(random)));
  return values;
}

}  // namespace talon::cuda

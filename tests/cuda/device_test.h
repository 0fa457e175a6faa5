// What the device tests share: arrays on the device, random host data, a skip where no GPU is
// there.
#pragma once

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <vector>

#include "talon/backend/cuda/cuda_check.h"
#include "talon/numeric/bf16.h"

#define TALON_REQUIRE_GPU()                                        \
  do {                                                             \
    int count = 0;                                                 \
    if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) { \
      GTEST_SKIP() << "no CUDA device on this machine";            \
    }                                                              \
  } while (false)

namespace talon::cuda {

template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t count) : count_(count) {
    Check(cudaMalloc(reinterpret_cast<void**>(&data_), std::max<size_t>(1, count) * sizeof(T)),
          "cudaMalloc");
    Check(cudaMemset(data_, 0xFF, std::max<size_t>(1, count) * sizeof(T)), "poison");
  }
  explicit DeviceArray(const std::vector<T>& host) : DeviceArray(host.size()) { Set(host); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() { cudaFree(data_); }

  void Set(const std::vector<T>& host) {
    Check(cudaMemcpy(data_, host.data(), host.size() * sizeof(T), cudaMemcpyHostToDevice), "copy");
  }
  std::vector<T> Get() const {
    std::vector<T> host(count_);
    Check(cudaDeviceSynchronize(), "kernel");
    Check(cudaMemcpy(host.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost), "copy");
    return host;
  }
  T* get() const { return data_; }

 private:
  T* data_ = nullptr;
  size_t count_ = 0;
};

inline std::vector<uint16_t> RandomBf16(std::mt19937& random, size_t count, float deviation) {
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<uint16_t> values(count);
  for (uint16_t& value : values) value = FloatToBf16(normal(random));
  return values;
}

inline std::vector<uint8_t> RandomBytes(std::mt19937& random, size_t count, int low, int high) {
  std::uniform_int_distribution<int> bytes(low, high);
  std::vector<uint8_t> values(count);
  for (uint8_t& value : values) value = static_cast<uint8_t>(bytes(random));
  return values;
}

}  // namespace talon::cuda

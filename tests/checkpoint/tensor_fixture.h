// Writes small checkpoint files for tests from tensors held in memory.
#pragma once

#include <bit>
#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "talon/checkpoint/safetensors.h"

namespace talon::test {

struct MemoryTensor {
  DType dtype = DType::kU8;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;
};

template <typename T>
MemoryTensor MakeTensor(DType dtype, std::vector<int64_t> shape, const std::vector<T>& values) {
  MemoryTensor tensor{dtype, std::move(shape), {}};
  tensor.bytes.resize(values.size() * sizeof(T));
  if (!values.empty()) std::memcpy(tensor.bytes.data(), values.data(), tensor.bytes.size());
  return tensor;
}

// A tensor of zeros.
inline MemoryTensor ZeroTensor(DType dtype, std::vector<int64_t> shape) {
  int64_t bytes = SizeOf(dtype);
  for (const int64_t size : shape) bytes *= size;
  return {dtype, std::move(shape), std::vector<std::byte>(static_cast<size_t>(bytes))};
}

using MemoryTensors = std::map<std::string, MemoryTensor>;

inline TensorStore WriteTensors(const std::filesystem::path& path, const MemoryTensors& tensors) {
  std::vector<TensorSpec> specs;
  for (const auto& [name, tensor] : tensors) specs.push_back({name, tensor.dtype, tensor.shape});
  WriteSafetensors(path, specs, {}, [&](const TensorSpec& spec, const AppendBytes& append) {
    append(tensors.at(spec.name).bytes);
  });
  return TensorStore::OpenFile(path);
}

}  // namespace talon::test

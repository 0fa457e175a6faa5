// A checkpoint in memory that a test can spoil and write.
#pragma once

#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "talon/base/json.h"
#include "talon/checkpoint/safetensors.h"

namespace talon::test {

struct EditableTensor {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;

  template <typename T>
  T& At(size_t index) {
    return reinterpret_cast<T*>(bytes.data())[index];
  }
};

class CheckpointEditor {
 public:
  explicit CheckpointEditor(const std::filesystem::path& source)
      : config(ReadJsonFile(source / "config.json")) {
    const TensorStore store = TensorStore::Open(source);
    for (const auto& [name, tensor] : store.tensors()) {
      tensors[name] = {tensor.dtype, tensor.shape, {tensor.bytes.begin(), tensor.bytes.end()}};
    }
    const std::filesystem::path hf = source / "hf_quant_config.json";
    if (std::filesystem::exists(hf)) hf_quant_config = ReadJsonFile(hf);
  }

  void Write(const std::filesystem::path& folder) const {
    std::filesystem::create_directories(folder);
    std::vector<TensorSpec> specs;
    for (const auto& [name, tensor] : tensors) specs.push_back({name, tensor.dtype, tensor.shape});
    WriteSafetensors(folder / "model.safetensors", specs, {{"format", "pt"}},
                     [this](const TensorSpec& spec, const AppendBytes& append) {
                       append(tensors.at(spec.name).bytes);
                     });
    std::ofstream(folder / "config.json") << config.dump(2);
    if (!hf_quant_config.is_null()) {
      std::ofstream(folder / "hf_quant_config.json") << hf_quant_config.dump(2);
    }
  }

  std::map<std::string, EditableTensor> tensors;
  Json config;
  Json hf_quant_config;
};

}  // namespace talon::test

// A checkpoint folder opened for quantization, checking or inspection: config, layout and mapped
// tensors.
#pragma once

#include <filesystem>

#include "talon/base/json.h"
#include "talon/base/thread_pool.h"
#include "talon/checkpoint/safetensors.h"
#include "talon/quantize/model_layout.h"

namespace talon {

struct ModelFiles {
  std::filesystem::path path;
  Json config;  // config.json
  ModelLayout layout;
  TensorStore store;

  // Throws what reading config.json and the safetensors throws.
  static ModelFiles Open(const std::filesystem::path& directory);
};

// Lets go of a part of a mapped tensor's memory after it was streamed over.
void ReleaseTensorBytes(const TensorView& tensor, size_t offset, size_t size_bytes);

// True when two tensors have the same dtype, shape and bytes. Resident memory stays bounded.
bool SameTensor(ThreadPool& pool, const TensorView& a, const TensorView& b);

// Throws kInvalidArgument, naming the field, when a drafter cannot serve a verifier: vocabulary,
// hidden size, or features of layers that the verifier does not have.
void RequireMatchingPair(const Eagle3Config& drafter, const GemmaConfig& verifier);

}  // namespace talon

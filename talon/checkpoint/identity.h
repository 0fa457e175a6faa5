// Ties traces and provenance records to a checkpoint without reading all of it: a hash over
// config.json, the safetensors headers and bytes sampled from every tensor. Two checkpoints that
// differ only in bytes between the samples have the same identity; HashFiles tells them apart at
// the price of a full read.
#pragma once

#include <string>
#include <vector>

#include "talon/checkpoint/safetensors.h"

namespace talon {

// 64 hex digits. `store` is an opened checkpoint folder; a missing config.json counts as empty.
std::string CheckpointIdentity(const TensorStore& store);

struct FileHash {
  std::string name;
  int64_t size_bytes = 0;
  std::string sha256;  // of the whole file
};
// config.json and every safetensors file.
std::vector<FileHash> HashFiles(const TensorStore& store);

}  // namespace talon

// Turns checkpoint tensors into backend weights, and sums up which formats a model uses.
#pragma once

#include <map>
#include <string>

#include "talon/backend/backend.h"
#include "talon/checkpoint/linear_weights.h"
#include "talon/checkpoint/safetensors.h"
#include "talon/model/forward_batch.h"

namespace talon {

// Where a model's weights come from and how they are used.
class WeightLoader {
 public:
  WeightLoader(Backend& backend, const TensorStore& store, const ModelOptions& options)
      : backend_(backend), store_(store), options_(options) {}

  LinearWeight Linear(const std::string& module, int64_t out_features, int64_t in_features);
  // A norm gain as F32 [size] in backend memory; `offset` is added to each (Gemma 3: 1).
  Buffer Gain(const std::string& name, int64_t size, float offset = 0.0f);
  // The value of a one-element tensor.
  float Scalar(const std::string& name);
  // A BF16 [rows, cols] table for Backend::Embed; an NVFP4 one is decoded and rounded to BF16.
  Tensor Table(const std::string& module, int64_t rows, int64_t cols);

  bool Has(const std::string& name) const { return store_.Find(name) != nullptr; }
  // How many linears use each kind, e.g. {"BF16": 1, "NVFP4 W4A16": 8}.
  const std::map<std::string, int>& format_counts() const { return format_counts_; }
  // Keeps tables alive.
  std::vector<Buffer> TakeBuffers() { return std::move(buffers_); }

 private:
  Backend& backend_;
  const TensorStore& store_;
  ModelOptions options_;
  std::map<std::string, int> format_counts_;
  std::vector<Buffer> buffers_;
};

// The most frequent first: "NVFP4 W4A4 (8 linears), BF16 (1 linear)".
std::string FormatSummary(const std::map<std::string, int>& counts);

}  // namespace talon

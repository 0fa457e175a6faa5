// Turns checkpoint tensors into backend weights, and sums up which formats a model uses.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "talon/backend/backend.h"
#include "talon/checkpoint/linear_weights.h"
#include "talon/checkpoint/model_config.h"
#include "talon/checkpoint/safetensors.h"
#include "talon/model/forward_batch.h"

namespace talon {

// What FP8 keys and values of one layer are divided by (stored = value / scale).
struct KvScales {
  float k = 1.0f;
  float v = 1.0f;
  bool in_checkpoint = false;
};

// Only an FP8 layer has scales.
void SetKvScales(const KvScales& scales, KvLayer& layer);

// Where a model's weights come from: a checkpoint, or thin air for measurements.
class WeightSource {
 public:
  virtual ~WeightSource() = default;

  virtual LinearWeight Linear(const std::string& module, int64_t out_features,
                              int64_t in_features) = 0;
  // A norm gain as F32 [size] in backend memory; `offset` is added to each (Gemma 3: 1).
  virtual Buffer Gain(const std::string& name, int64_t size, float offset) = 0;
  Buffer Gain(const std::string& name, int64_t size) { return Gain(name, size, 0.0f); }
  // The value of a one-element tensor.
  virtual float Scalar(const std::string& name) = 0;
  // A BF16 [rows, cols] table for Backend::Embed; an NVFP4 one is decoded and rounded to BF16.
  virtual Tensor Table(const std::string& module, int64_t rows, int64_t cols) = 0;
  // k_scale and v_scale of an attention module, from k_proj and v_proj (ModelOpt) or the module
  // itself (compressed-tensors); 1 where the checkpoint has none. Throws unless they are positive.
  KvScales AttentionKvScales(const std::string& attention);
  // LoadDraftOffsets (drafter_tensors.h).
  virtual std::vector<int32_t> DraftOffsets(const Eagle3Config& config) = 0;
  virtual bool Has(const std::string& name) const = 0;
  // For errors: the file or folder.
  virtual std::string name() const = 0;

  // How many linears use each kind, e.g. {"BF16": 1, "NVFP4 W4A16": 8}.
  const std::map<std::string, int>& format_counts() const { return format_counts_; }
  // Keeps tables alive.
  std::vector<Buffer> TakeBuffers() { return std::move(buffers_); }

 protected:
  // Counts the weight and gives it back.
  LinearWeight Counted(LinearWeight weight);

  std::vector<Buffer> buffers_;

 private:
  std::map<std::string, int> format_counts_;
};

// A checkpoint's weights.
class WeightLoader : public WeightSource {
 public:
  WeightLoader(Backend& backend, const TensorStore& store, const ModelOptions& options)
      : backend_(backend), store_(store), options_(options) {}

  using WeightSource::Gain;
  LinearWeight Linear(const std::string& module, int64_t out_features,
                      int64_t in_features) override;
  Buffer Gain(const std::string& name, int64_t size, float offset) override;
  float Scalar(const std::string& name) override;
  Tensor Table(const std::string& module, int64_t rows, int64_t cols) override;
  std::vector<int32_t> DraftOffsets(const Eagle3Config& config) override;
  bool Has(const std::string& name) const override { return store_.Find(name) != nullptr; }
  std::string name() const override { return store_.path().string(); }

 private:
  Backend& backend_;
  const TensorStore& store_;
  ModelOptions options_;
};

// The most frequent first: "NVFP4 W4A4 (8 linears), BF16 (1 linear)".
std::string FormatSummary(const std::map<std::string, int>& counts);

}  // namespace talon

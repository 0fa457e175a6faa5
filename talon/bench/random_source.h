// Random weights in a model's exact shapes, made in backend memory: no files.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "talon/model/weights.h"

namespace talon {

class RandomSource : public WeightSource {
 public:
  // Chooses a linear's format by its module name, e.g. "layers.0.mlp.up_proj" or "lm_head".
  using FormatOf = std::function<LinearFormat(const std::string& module)>;

  RandomSource(Backend& backend, uint64_t seed, FormatOf format_of)
      : backend_(backend), seed_(seed), format_of_(std::move(format_of)) {}

  using WeightSource::Gain;
  LinearWeight Linear(const std::string& module, int64_t out_features,
                      int64_t in_features) override;
  Buffer Gain(const std::string& name, int64_t size, float offset) override;
  float Scalar(const std::string& name) override;
  Tensor Table(const std::string& module, int64_t rows, int64_t cols) override;
  std::vector<int32_t> DraftOffsets(const Eagle3Config& config) override;
  bool Has(const std::string&) const override { return false; }
  std::string name() const override { return "random weights"; }

  // Bytes of all linears made so far: what one decode step reads.
  int64_t linear_bytes() const { return linear_bytes_; }

 private:
  Backend& backend_;
  uint64_t seed_;
  FormatOf format_of_;
  int64_t linear_bytes_ = 0;
};

// Bytes of a linear as the model reads it.
int64_t LinearBytes(LinearFormat format, int64_t out_features, int64_t in_features);

}  // namespace talon

// A drafter whose verifier features carry relative noise: shows which drafts hang on the last bits
// of its inputs.
#pragma once

#include <random>
#include <string>

#include "talon/model/drafter.h"

namespace talon::test {

class NoisyDrafter final : public Drafter {
 public:
  // Features are multiplied by 1 + u, u uniform in [-relative_error, relative_error]. F32 features
  // in CPU memory only.
  NoisyDrafter(const Drafter& drafter, float relative_error, unsigned seed)
      : drafter_(drafter), noise_(-relative_error, relative_error), random_(seed) {}

  Tensor Fuse(const Tensor& features /* [rows, feature_size] */, Arena& arena) const override {
    const Tensor noisy = arena.Take(features.rows, features.cols, DType::kF32);
    for (int64_t r = 0; r < features.rows; ++r) {
      const auto* from = static_cast<const float*>(features.data) + r * features.row_stride;
      auto* to = static_cast<float*>(noisy.data) + r * noisy.row_stride;
      for (int64_t c = 0; c < features.cols; ++c) to[c] = from[c] * (1.0f + noise_(random_));
    }
    return drafter_.Fuse(noisy, arena);
  }

  const std::string& format_summary() const override { return drafter_.format_summary(); }
  std::span<const int64_t> aux_layer_ids() const override { return drafter_.aux_layer_ids(); }
  int64_t feature_size() const override { return drafter_.feature_size(); }
  int64_t hidden_size() const override { return drafter_.hidden_size(); }
  int64_t draft_vocab_size() const override { return drafter_.draft_vocab_size(); }
  int64_t max_position_embeddings() const override { return drafter_.max_position_embeddings(); }
  int64_t default_num_speculative_tokens() const override {
    return drafter_.default_num_speculative_tokens();
  }
  const int32_t* draft_id_offsets() const override { return drafter_.draft_id_offsets(); }
  KvLayer MakeKvLayer(int64_t num_pages, DType kv_dtype) const override {
    return drafter_.MakeKvLayer(num_pages, kv_dtype);
  }
  int64_t kv_columns() const override { return drafter_.kv_columns(); }
  int64_t scratch_columns() const override { return drafter_.scratch_columns(); }
  Tensor Forward(const ForwardBatch& batch, const Tensor& inputs /* [rows, hidden] */,
                 KvLayer& cache, Arena& arena) const override {
    return drafter_.Forward(batch, inputs, cache, arena);
  }
  void Logits(const Tensor& states, const Tensor& logits, Arena& arena) const override {
    drafter_.Logits(states, logits, arena);
  }
  void SetObserver(LinearObserver* /*observer*/) override {}

 private:
  const Drafter& drafter_;
  mutable std::uniform_real_distribution<float> noise_;
  mutable std::mt19937 random_;
};

}  // namespace talon::test

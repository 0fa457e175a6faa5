// A drafter that proposes what a test says for each position of the text, whatever it is fed.
// Computes on CPU memory, for one sequence at a time.
#pragma once

#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "talon/model/drafter.h"
#include "talon/model/gemma.h"

namespace talon::test {

class ScriptedDrafter final : public Drafter {
 public:
  // The draft for a position of the text.
  using Script = std::function<int32_t(int64_t position)>;

  ScriptedDrafter(const GemmaModel& verifier, Script script)
      : verifier_(verifier), script_(std::move(script)) {}

  const std::string& format_summary() const override { return summary_; }
  std::span<const int64_t> aux_layer_ids() const override { return aux_layer_ids_; }
  int64_t feature_size() const override { return verifier_.config().hidden_size; }
  int64_t hidden_size() const override { return 1; }
  int64_t draft_vocab_size() const override { return verifier_.config().vocab_size; }
  int64_t max_position_embeddings() const override {
    return verifier_.config().max_position_embeddings;
  }
  int64_t default_num_speculative_tokens() const override { return 3; }
  int64_t scratch_columns() const override { return 2; }
  const int32_t* draft_id_offsets() const override { return nullptr; }
  KvLayer MakeKvLayer(int64_t num_pages, DType kv_dtype) const override {
    return verifier_.backend().MakeKvLayer(num_pages, 1, kv_columns(), kv_dtype);
  }
  int64_t kv_columns() const override { return 16; }
  Tensor Fuse(const Tensor& features /* [rows, feature_size] */, Arena& arena) const override {
    return arena.Take(features.rows, 1, DType::kF32);
  }
  // A state is its row's position.
  Tensor Forward(const ForwardBatch& batch, const Tensor& /*inputs*/ /* [rows, 1] */,
                 KvLayer& /*cache*/, Arena& arena) const override {
    const Tensor states = arena.Take(batch.rows.num_rows, 1, DType::kF32);
    for (int64_t r = 0; r < states.rows; ++r) {
      *static_cast<float*>(states.Rows(r, 1).data) = static_cast<float>(batch.rows.positions[r]);
    }
    return states;
  }
  // The pair of token i + 1 and feature i, at position i, proposes token i + 2.
  void Logits(const Tensor& states /* [rows, 1] */, const Tensor& logits /* [rows, vocab] */,
              Arena& /*arena*/) const override {
    for (int64_t r = 0; r < states.rows; ++r) {
      auto* row = static_cast<float*>(logits.Rows(r, 1).data);
      std::memset(row, 0, static_cast<size_t>(logits.cols) * sizeof(float));
      const float position = *static_cast<const float*>(states.Rows(r, 1).data);
      row[script_(static_cast<int64_t>(position) + 2)] = 1.0f;
    }
  }
  void SetObserver(LinearObserver* /*observer*/) override {}

 private:
  const GemmaModel& verifier_;
  Script script_;
  std::string summary_ = "scripted";
  std::vector<int64_t> aux_layer_ids_ = {1};
};

}  // namespace talon::test

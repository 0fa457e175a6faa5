// A drafter that does a real drafter's work and then drafts what it knows will come, right most of
// the time: its states, its KV and the batches around it are real, its acceptance is known.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "talon/backend/gumbel.h"
#include "talon/model/drafter.h"
#include "talon/numeric/bf16.h"

namespace talon::test {

class OracleDrafter final : public Drafter {
 public:
  // `texts`: prompts with their answers. A draft is right with a chance of 3 in 4.
  OracleDrafter(const Drafter& drafter, Backend& backend, int64_t vocab_size,
                std::vector<std::vector<int32_t>> texts)
      : drafter_(drafter), backend_(backend), vocab_size_(vocab_size), texts_(std::move(texts)) {}

  const std::string& format_summary() const override { return drafter_.format_summary(); }
  std::span<const int64_t> aux_layer_ids() const override { return drafter_.aux_layer_ids(); }
  int64_t feature_size() const override { return drafter_.feature_size(); }
  int64_t hidden_size() const override { return drafter_.hidden_size(); }
  int64_t draft_vocab_size() const override { return vocab_size_; }
  int64_t max_position_embeddings() const override { return drafter_.max_position_embeddings(); }
  int64_t default_num_speculative_tokens() const override {
    return drafter_.default_num_speculative_tokens();
  }
  const int32_t* draft_id_offsets() const override { return nullptr; }
  KvLayer MakeKvLayer(int64_t num_pages, DType kv_dtype) const override {
    return drafter_.MakeKvLayer(num_pages, kv_dtype);
  }
  int64_t kv_columns() const override { return drafter_.kv_columns(); }
  int64_t scratch_columns() const override { return drafter_.scratch_columns(); }
  Tensor Fuse(const Tensor& features /* [rows, feature_size] */, Arena& arena) const override {
    return drafter_.Fuse(features, arena);
  }

  Tensor Forward(const ForwardBatch& batch, const Tensor& inputs /* [rows, hidden] */,
                 KvLayer& cache, Arena& arena) const override {
    const Tensor states = drafter_.Forward(batch, inputs, cache, arena);
    const auto bytes = inputs.rows * static_cast<int64_t>(sizeof(int32_t));
    std::vector<int32_t> tokens(static_cast<size_t>(inputs.rows));
    std::vector<int32_t> positions(tokens.size());
    backend_.Download(batch.token_ids, bytes, tokens.data());
    backend_.Download(batch.rows.positions, bytes, positions.data());
    for (int64_t i = 0; i < inputs.rows; ++i) {
      const auto slot = static_cast<size_t>(i % kSlots);
      drafts_[slot] = Next(positions[static_cast<size_t>(i)], tokens[static_cast<size_t>(i)]);
      const uint16_t mark = FloatToBf16(static_cast<float>(slot));
      backend_.Upload(&mark, sizeof(mark), states.Rows(i, 1).data);
    }
    return states;
  }

  void Logits(const Tensor& states, const Tensor& logits, Arena& arena) const override {
    (void)arena;
    std::vector<float> row(static_cast<size_t>(vocab_size_), 0.0f);
    for (int64_t i = 0; i < states.rows; ++i) {
      uint16_t mark = 0;
      backend_.Download(states.Rows(i, 1).data, sizeof(mark), &mark);
      float& draft = row[static_cast<size_t>(drafts_[static_cast<size_t>(Bf16ToFloat(mark))])];
      draft = 1.0f;
      backend_.Upload(row.data(), vocab_size_ * static_cast<int64_t>(sizeof(float)),
                      logits.Rows(i, 1).data);
      draft = 0.0f;
    }
  }
  void SetObserver(LinearObserver* /*observer*/) override {}

 private:
  static constexpr int64_t kSlots = 256;  // integers that BF16 holds

  // What follows `token`, which stands at position + 1 of some text.
  int32_t Next(int32_t position, int32_t token) const {
    const auto at = static_cast<size_t>(position) + 1;
    for (const std::vector<int32_t>& text : texts_) {
      if (at + 1 >= text.size() || text[at] != token) continue;
      const bool right = MixBits(at * 977 + static_cast<uint64_t>(token)) % 4 != 0;
      return right ? text[at + 1] : (text[at + 1] + 1) % static_cast<int32_t>(vocab_size_);
    }
    return 0;
  }
  const Drafter& drafter_;
  Backend& backend_;
  int64_t vocab_size_;
  std::vector<std::vector<int32_t>> texts_;
  // Drafts by the mark that Forward puts into the first column of a state: states are gathered
  // before they become logits.
  mutable std::vector<int32_t> drafts_ = std::vector<int32_t>(kSlots, 0);
};

}  // namespace talon::test

// EAGLE-3 drafter in the speculators format: one Llama-style layer over [embedding ; feature].
//
//   g = W_fc [r_a ; r_b ; r_c]                      (first pass; later steps feed g back)
//   c = [norm(E[token]) ; norm(g)]                  (b = its second half)
//   u = W_o attention(rope(W_q c), rope(W_k c), W_v c) + (norm_before_residual ? b : g)
//   s = u + W_down (silu(W_gate n) * W_up n)        (n = norm(u))
//   logits = W_lm norm(s);  next g = norm_output ? norm(s) : s
//
// Unlike Gemma: plain gains, no embedding scale, no q/k/v norms, scores / sqrt(head_dim), no
// post-norms, no softcap, a vocabulary of its own (d2t). Source: specs/eagle3.md 2.2.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "talon/checkpoint/model_config.h"
#include "talon/checkpoint/safetensors.h"
#include "talon/model/drafter.h"
#include "talon/model/gemma.h"
#include "talon/model/weights.h"

namespace talon {

class Eagle3Drafter : public Drafter {
 public:
  // `verifier` lends its embedding when the checkpoint has none, and its layer count for the
  // default aux ids. Throws when the two do not belong together (hidden size, vocabulary, aux
  // layers).
  Eagle3Drafter(const Eagle3Config& config, const TensorStore& store, const ModelOptions& options,
                const GemmaModel& verifier);
  // From any source of weights.
  Eagle3Drafter(const Eagle3Config& config, WeightSource& load, const ModelOptions& options,
                const GemmaModel& verifier);
  ~Eagle3Drafter() override;

  const Eagle3Config& config() const { return config_; }
  const std::string& format_summary() const override { return format_summary_; }
  std::span<const int64_t> aux_layer_ids() const override { return config_.aux_layer_ids; }
  int64_t feature_size() const override;
  int64_t hidden_size() const override { return config_.hidden_size; }
  int64_t draft_vocab_size() const override { return config_.draft_vocab_size; }
  int64_t max_position_embeddings() const override { return config_.max_position_embeddings; }
  int64_t default_num_speculative_tokens() const override { return config_.num_speculative_tokens; }
  const int32_t* draft_id_offsets() const override;
  KvLayer MakeKvLayer(int64_t num_pages, DType kv_dtype) const override;
  bool has_kv_scales() const { return kv_scales_.in_checkpoint; }
  int64_t kv_columns() const override { return config_.num_kv_heads * config_.head_dim; }
  int64_t scratch_columns() const override;
  Tensor Fuse(const Tensor& features, Arena& arena) const override;
  Tensor Forward(const ForwardBatch& batch, const Tensor& inputs, KvLayer& cache,
                 Arena& arena) const override;
  void Logits(const Tensor& states, const Tensor& logits, Arena& arena) const override;
  void SetObserver(LinearObserver* observer) override { observer_ = observer; }

 private:
  Tensor Attention(const ForwardBatch& batch, const Tensor& joined, KvLayer& cache,
                   Arena& arena) const;
  Tensor FeedForward(const Tensor& residual, Arena& arena) const;
  void Observe(const std::string& linear, const Tensor& input) const;

  Backend& backend_;
  Eagle3Config config_;
  ModelOptions options_;
  LinearObserver* observer_ = nullptr;
  Tensor embedding_;  // BF16 [vocab, hidden]
  LinearWeight fc_, q_, k_, v_, o_, gate_, up_, down_, lm_head_;
  Buffer input_gain_, hidden_gain_, post_attention_gain_, final_gain_;  // F32 [hidden]
  Buffer fc_input_gain_;                // F32 [feature_size]; norm_before_fc only
  std::vector<Buffer> fc_chunk_gains_;  // F32 [target hidden] each; fc_norm only
  Buffer frequency_;                    // F32 [head_dim / 2]
  Buffer offsets_;                      // I32 [draft_vocab]
  KvScales kv_scales_;
  std::vector<Buffer> owned_;
  std::string format_summary_;
};

}  // namespace talon

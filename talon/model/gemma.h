// Gemma 3 and Gemma 4 dense verifiers. One forward for prefill, chunked prefill, decode and
// verification:
//
//   h = E[token] * sqrt(H)
//   per layer:  q, k, v = W norm(h)                   [Gemma 4] v = raw k where k_eq_v
//               q, k = rope(norm(q), norm(k))         [Gemma 4] v = norm(v)
//               h = h + norm(W_o attention(q, k, v))
//               h = h + norm(W_down (gelu(W_gate x) * W_up x)),  x = norm(h)
//               [Gemma 4] h = h * layer_scalar
//   logits = softcap(E norm(h))
//
// Gemma 3 differs: gains are 1 + w, scores are scaled, no v norm, no layer scalar, no softcap.
// Source: specs/gemma.md section 2.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "talon/checkpoint/model_config.h"
#include "talon/checkpoint/safetensors.h"
#include "talon/model/arena.h"
#include "talon/model/forward_batch.h"

namespace talon {

class WeightSource;

// Verifier layers' KV storage, one entry per layer.
using KvLayers = std::vector<KvLayer>;

// What a forward pass gives besides the final hidden states.
struct VerifierCapture {
  // Residual stream entering layer ids[i] (id = num_layers: leaving the last layer, before the
  // final norm), written to columns [i * hidden, (i + 1) * hidden).
  std::span<const int64_t> aux_layer_ids;
  Tensor aux;  // [rows, aux_layer_ids.size() * hidden], the model's dtype
  // Called with every residual stream state: index 0 is the embedding, i + 1 the output of layer i.
  std::function<void(int64_t index, const Tensor& hidden)> on_hidden;
  LinearObserver* observer = nullptr;
};

class GemmaModel {
 public:
  // Throws when a tensor is missing, misshaped or in a format Talon does not read.
  GemmaModel(Backend& backend, const GemmaConfig& config, const TensorStore& store,
             const ModelOptions& options);
  // From any source of weights.
  GemmaModel(Backend& backend, const GemmaConfig& config, WeightSource& load,
             const ModelOptions& options);
  ~GemmaModel();

  const GemmaConfig& config() const { return config_; }
  const ModelOptions& options() const { return options_; }
  Backend& backend() const { return backend_; }
  // e.g. "NVFP4 W4A16 (56 linears), BF16 (1 linear)".
  const std::string& format_summary() const { return format_summary_; }
  const Tensor& embedding() const { return embedding_; }  // BF16 [vocab, hidden]

  // FP8 layers get the checkpoint's scales.
  KvLayers MakeKvLayers(int64_t sliding_pages, int64_t global_pages, DType kv_dtype) const;
  // Layers whose checkpoint has scales for FP8 KV.
  int64_t num_kv_scales() const;

  // Runs the rows, writing their K and V; returns the residual stream after the last layer,
  // [rows, hidden], in `arena`.
  Tensor Forward(const ForwardBatch& batch, KvLayers& cache, const VerifierCapture& capture,
                 Arena& arena) const;

  // logits[i] = softcap(lm_head(norm(hidden[i]))), F32 [rows, vocab].
  void Logits(const Tensor& hidden, const Tensor& logits, Arena& arena) const;

  // The final norm alone, [rows, hidden].
  void FinalNorm(const Tensor& hidden, const Tensor& out) const;

 private:
  struct Layer;
  struct Rope;

  void Attention(const Layer& layer, const ForwardBatch& batch, const Tensor& rope, KvLayer& cache,
                 const Tensor& hidden, LinearObserver* observer, Arena& arena) const;
  void FeedForward(const Layer& layer, const Tensor& hidden, LinearObserver* observer,
                   Arena& arena) const;
  Tensor RopeTable(AttentionKind kind, const RowBatch& rows, Arena& arena) const;

  Backend& backend_;
  GemmaConfig config_;
  ModelOptions options_;
  std::vector<Layer> layers_;
  Tensor embedding_;  // BF16 [vocab, hidden]
  float embedding_scale_ = 1.0f;
  LinearWeight lm_head_;
  Buffer final_gain_;         // F32 [hidden]
  Buffer sliding_frequency_;  // F32 [head_dim / 2]
  Buffer full_frequency_;     // F32 [head_dim / 2]
  std::vector<Buffer> owned_;
  std::string format_summary_;
};

}  // namespace talon

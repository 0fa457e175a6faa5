// What the engine knows of a drafter: verifier features in, hidden states and draft logits out, one
// KV layer in the global page family. EAGLE-3 is the first kind; others can fit behind it.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "talon/model/arena.h"
#include "talon/model/forward_batch.h"

namespace talon {

class Drafter {
 public:
  virtual ~Drafter() = default;

  virtual const std::string& format_summary() const = 0;
  // Verifier layers whose residual streams are the features, ascending.
  virtual std::span<const int64_t> aux_layer_ids() const = 0;
  // Columns of a feature row: aux_layer_ids().size() * the verifier's hidden size.
  virtual int64_t feature_size() const = 0;
  virtual int64_t hidden_size() const = 0;
  virtual int64_t draft_vocab_size() const = 0;
  // Draft drafter positions stop here.
  virtual int64_t max_position_embeddings() const = 0;
  // k of the drafter's own config; 0 when it names none.
  virtual int64_t default_num_speculative_tokens() const = 0;
  // Offsets to verifier ids for Backend::MapDraftIds, [draft_vocab] in backend memory; null:
  // identity.
  virtual const int32_t* draft_id_offsets() const = 0;
  virtual KvLayer MakeKvLayer(int64_t num_pages, DType kv_dtype) const = 0;
  // Columns of a K row, and of a V row: KV heads * head_dim.
  virtual int64_t kv_columns() const = 0;
  // Columns of all activations that Fuse and Forward take from the arena, as if of the model's
  // dtype.
  virtual int64_t scratch_columns() const = 0;

  // Verifier features to drafter inputs, [rows, hidden].
  virtual Tensor Fuse(const Tensor& features /* [rows, feature_size] */, Arena& arena) const = 0;
  // One pass over rows: batch.token_ids[r] is the token at position + 1, `inputs` the fused
  // features or the previous step's states. Writes K and V at the row's position; returns states
  // [rows, hidden] that both give logits and feed the next step.
  virtual Tensor Forward(const ForwardBatch& batch, const Tensor& inputs /* [rows, hidden] */,
                         KvLayer& cache, Arena& arena) const = 0;
  // F32 logits [rows, draft_vocab] of states.
  virtual void Logits(const Tensor& states, const Tensor& logits, Arena& arena) const = 0;

  // Watches the inputs of quantizable linears; null to stop.
  virtual void SetObserver(LinearObserver* observer) = 0;
};

}  // namespace talon

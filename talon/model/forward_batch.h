// What every model forward takes: rows of several sequences, their positions and their KV pages.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "talon/backend/backend.h"

namespace talon {

// The two page families: sliding layers give pages back as they leave the window, global layers
// (full attention, and the drafter) never do.
struct PageTables {
  BlockTable sliding;
  BlockTable global;
};

struct ForwardBatch {
  RowBatch rows;
  const int32_t* token_ids = nullptr;  // [num_rows], backend memory
  PageTables tables;
};

// Sees the input of every quantizable linear; used by calibration. `input` is backend memory.
class LinearObserver {
 public:
  virtual ~LinearObserver() = default;
  // Named as in the checkpoint, e.g. "layers.0.self_attn.q_proj". Linears that share an input are
  // reported one after another with the same tensor.
  virtual void Observe(std::string_view linear, const Tensor& input /* [rows, in_features] */) = 0;
};

// Activations and residual stream: kBF16 (rounded as Hugging Face does) or kF32.
struct ModelOptions {
  DType dtype = DType::kBF16;
  // Applies to NVFP4 linears that carry an input_scale; all others are weight-only.
  LinearNumerics numerics = LinearNumerics::kWeightOnly;
};

}  // namespace talon

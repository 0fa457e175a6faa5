// The tensors of a checkpoint gathered by module: which format each weight is stored in, and its
// scales. Unlike BindLinear this never throws, so that a faulty file can be described.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "talon/checkpoint/safetensors.h"

namespace talon {

enum class StoredFormat : uint8_t {
  kPlain,              // one weight of a plain dtype: BF16, F32, ...
  kFp8,                // F8_E4M3 weight with weight_scale
  kNvfp4,              // ModelOpt: U8 weight, weight_scale, weight_scale_2
  kCompressedTensors,  // NVFP4: weight_packed, weight_scale, weight_global_scale
};

struct StoredModule {
  // By suffix without the dot: "weight", "weight_scale", "input_scale", ...; "" for a tensor that
  // has none of the known suffixes (d2t, layer_scalar).
  std::map<std::string, const TensorView*> tensors;

  const TensorView* Find(std::string_view suffix) const;
  // The weight itself, packed or not; null when the module has none.
  const TensorView* weight() const;
  StoredFormat format() const;
  // "BF16", "F8_E4M3", "NVFP4", "NVFP4 (compressed-tensors)".
  std::string FormatName() const;
  // Weights, not scales.
  int64_t num_parameters() const;
  int64_t size_bytes() const;
};

// Modules by name ("layers.0.mlp.up_proj", "norm", "d2t").
std::map<std::string, StoredModule> GatherModules(const TensorStore& store);

}  // namespace talon

// Prefixes under which a checkpoint file keeps its layers; the config alone does not tell them.
#pragma once

#include <string>

#include "talon/checkpoint/safetensors.h"

namespace talon {

// Prefix of a Gemma text model's tensors: "model.", "model.language_model." or
// "language_model.model.", whichever has embed_tokens.weight. Throws kNotFound when none has.
std::string GemmaTensorPrefix(const TensorStore& store);

// Prefix of a drafter's one layer: "layers.0." or "midlayer.". Throws kNotFound when it has
// neither, kDataLoss when it has both.
std::string DrafterLayerPrefix(const TensorStore& store);

}  // namespace talon

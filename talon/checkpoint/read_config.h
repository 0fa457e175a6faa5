// Reads a model folder's config together with its tensors: what the config alone cannot tell (name
// prefixes) is taken from the file, and tensors that the config does not account for are refused.
#pragma once

#include <filesystem>

#include "talon/checkpoint/model_config.h"
#include "talon/checkpoint/safetensors.h"

namespace talon {

// config.json of a Gemma verifier, with the tensor prefix of `store`.
GemmaConfig ReadGemmaConfig(const std::filesystem::path& directory, const TensorStore& store);

// config.json of an EAGLE-3 drafter, with the layer prefix of `store`. Throws kUnsupported for
// tensors that change the mathematics and that the config does not announce: more layers, other
// norms.
Eagle3Config ReadEagle3Config(const std::filesystem::path& directory, const TensorStore& store);

}  // namespace talon

// Finds a model argument: a directory, or `org/name[@revision]` in the local Hugging Face cache
// (HF_HUB_CACHE, HF_HOME/hub, ~/.cache/huggingface/hub). Talon downloads nothing.
#pragma once

#include <filesystem>
#include <string>

namespace talon {

// Throws kNotFound with the `hf download` command to run when the model is not there.
std::filesystem::path ResolveModel(const std::string& name_or_path);

}  // namespace talon

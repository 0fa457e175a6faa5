// Tells what a checkpoint folder holds, by its config.json.
#pragma once

#include <cstdint>
#include <filesystem>

#include "talon/base/json.h"

namespace talon {

enum class ModelKind : uint8_t { kGemma, kEagle3Drafter, kUnknown };

// By shape alone: a Gemma of an unsupported kind is still kGemma, and its parser then says why not.
ModelKind KindOf(const Json& config);

// Throws kNotFound when the folder has no config.json.
ModelKind DetectModelKind(const std::filesystem::path& directory);

}  // namespace talon

// Random EAGLE-3 drafters in real shapes, to measure time and memory without a download.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "talon/base/json.h"
#include "talon/base/thread_pool.h"

namespace talon {

// config.json of a drafter: "31b" is that of Gemma 4 31B (4.47 GB), "tiny" that of the bundled
// pair. Throws kInvalidArgument for another name.
Json SyntheticDrafterConfig(std::string_view shape);

// Writes the config and BF16 weights drawn from a bell-shaped distribution; the seed fixes every
// byte. `output` must not exist.
void WriteSyntheticDrafter(const Json& config, uint64_t seed, const std::filesystem::path& output,
                           ThreadPool& pool);

}  // namespace talon

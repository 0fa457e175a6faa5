// manifest.json of a trace store: written once, compared field by field when the store is opened
// again.
#pragma once

#include <filesystem>

#include "talon/eval/trace_store.h"

namespace talon {

void WriteManifest(const std::filesystem::path& path, const TraceManifest& manifest);

// Throws kFailedPrecondition naming the first field that differs, what it is and what was expected.
// A longer tail in the file serves as well and is taken over.
void CheckSameManifest(const std::filesystem::path& path, TraceManifest& expected);

}  // namespace talon

// manifest.json of a trace store: written once, compared field by field when the store is opened
// again.
#pragma once

#include <filesystem>

#include "talon/eval/trace_store.h"

namespace talon {

void WriteManifest(const std::filesystem::path& path, const TraceManifest& manifest);

// Throws kFailedPrecondition naming the first field that differs, what it is and what was expected.
void CheckSameManifest(const std::filesystem::path& path, const TraceManifest& expected);

}  // namespace talon

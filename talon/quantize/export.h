// Writes a quantized checkpoint: every file of docs/formats.md section 6, in a folder that appears
// whole or not at all. Memory stays bounded: tensors are streamed from the mapped source to the
// file.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "talon/base/thread_pool.h"
#include "talon/quantize/provenance.h"

namespace talon {

struct ExportResult {
  int64_t size_bytes = 0;  // of all files
  // Files that could not be written, each with the reason ("tokenizer.json: neither ... has one").
  std::vector<std::string> notes;
};

// Throws kFailedPrecondition when `output` exists, kResourceExhausted when the disk is too small or
// full.
ExportResult ExportCheckpoint(const ExportRequest& request, const std::filesystem::path& output,
                              ThreadPool& pool);

}  // namespace talon

// The steps of CheckCheckpoint, each adding its findings to a report.
#pragma once

#include <fmt/format.h>

#include <map>
#include <string>
#include <utility>

#include "talon/quantize/check.h"
#include "talon/quantize/stored_modules.h"

namespace talon::check {

using Modules = std::map<std::string, StoredModule>;

template <typename... Args>
void Add(CheckReport& report, Severity severity, const std::string& where,
         fmt::format_string<Args...> format, Args&&... args) {
  report.findings.push_back({severity, where, fmt::format(format, std::forward<Args>(args)...)});
}

// Missing, extra and misshaped tensors, and dtypes that loaders convert silently.
void CheckTensors(const ModelFiles& files, const Modules& modules, CheckReport& report);

// NaN and infinities in BF16 weights.
void CheckFinite(const ModelFiles& files, ThreadPool& pool, CheckReport& report);

// Scales of quantized linears: complete, in form, not NaN, not zero, shared where they must be.
void CheckScales(const ModelFiles& files, const Modules& modules, CheckReport& report);

// d2t and t2d of a drafter.
void CheckVocabularyMaps(const ModelFiles& files, CheckReport& report);

// Does the quantization config, in each file that has one, say what the tensors are?
void CheckQuantConfig(const ModelFiles& files, const Modules& modules, const ModelFiles* verifier,
                      CheckReport& report);

// The embedding beside the verifier's, and whether the pair belongs together.
void CheckPair(const ModelFiles& files, const ModelFiles& verifier, ThreadPool& pool,
               CheckReport& report);

}  // namespace talon::check

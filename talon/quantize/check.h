// Finds what is wrong with a drafter or verifier checkpoint, including what other loaders swallow:
// vLLM does not notice missing drafter tensors, converts a BF16 d2t or a U8 weight_scale
// numerically, and only warns when q/k/v differ in their scales. Sources: specs/eagle3.md ("Checked
// against real vLLM"), specs/nvfp4.md 0.2, 1.8, 5.4.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "talon/base/json.h"
#include "talon/base/thread_pool.h"
#include "talon/quantize/model_files.h"

namespace talon {

enum class Severity : uint8_t {
  kError,    // the checkpoint is wrong, or will be read wrongly
  kWarning,  // works, but is not as it should be
  kNote,     // a fact worth knowing
};

std::string_view Name(Severity severity);

struct Finding {
  Severity severity = Severity::kError;
  std::string where;  // tensor, file or field
  std::string what;   // found and expected
};

struct CheckReport {
  std::vector<Finding> findings;
  int64_t num_parameters = 0;
  int64_t size_bytes = 0;

  // False when there is an error.
  bool ok() const;
  double bits_per_parameter() const;
};

// Checks a checkpoint folder; a file that cannot be read at all is an error in the report.
// `verifier`, which may be null, is what a drafter is compared with.
CheckReport CheckCheckpoint(const std::filesystem::path& directory, const ModelFiles* verifier,
                            ThreadPool& pool);

// One line per finding and a summary.
std::string FormatReport(const CheckReport& report);
Json ReportJson(const CheckReport& report);

}  // namespace talon

// Bytes per part of a model, before and after quantization: printed before anything is written, and
// by `talon inspect` for one checkpoint.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "talon/base/json.h"
#include "talon/quantize/model_files.h"
#include "talon/quantize/plan.h"

namespace talon {

struct LedgerRow {
  std::string part;
  std::string formats;  // of what is in the file: "BF16", "NVFP4", "BF16 -> NVFP4", ...
  int64_t num_parameters = 0;
  int64_t before_bytes = 0;
  int64_t after_bytes = 0;
};

struct ByteLedger {
  std::vector<LedgerRow> rows;  // parts that hold something, in model order
  LedgerRow total;
};

// What the plan does to each part.
ByteLedger MakeLedger(const QuantizationPlan& plan);

// One checkpoint as it is; `before_bytes` equals `after_bytes`.
ByteLedger MakeLedger(const ModelFiles& files);

// Aligned text; with `compare` also the bytes before and the ratio.
std::string FormatLedger(const ByteLedger& ledger, bool compare);

Json LedgerJson(const ByteLedger& ledger);

// "4.47 GB", "712.0 MB", "1.5 KB", "640 B" (powers of ten).
std::string FormatBytes(int64_t size_bytes);

}  // namespace talon

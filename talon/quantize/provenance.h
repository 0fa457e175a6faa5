// talon_provenance.json: what a checkpoint was made of and how. The same sources, recipe and
// command give the same record.
#pragma once

#include <string>
#include <vector>

#include "talon/base/json.h"
#include "talon/quantize/plan.h"

namespace talon {

// What was quantized, from what, and on whose account.
struct ExportRequest {
  const ModelFiles* source = nullptr;
  std::string source_name;               // as given: a folder or org/name
  const ModelFiles* verifier = nullptr;  // null when none was given
  std::string verifier_name;
  const QuantizationPlan* plan = nullptr;
  Json calibration;     // where the input maxima come from; null for weight-only recipes
  std::string version;  // Talon's
  std::vector<std::string> command;  // argv
  bool full_hash = false;            // SHA-256 of whole files instead of the sampled identity alone
};

Json MakeProvenance(const ExportRequest& request);

}  // namespace talon

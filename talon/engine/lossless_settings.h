// What must not change an answer, as settings of an engine: drafts, other requests, chunks, the
// prefix cache, preemption, threads, and what the engine did before.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "talon/checkpoint/model_config.h"
#include "talon/engine/lossless_check.h"

namespace talon {

struct LosslessSetting {
  std::string name;
  EngineOptions options;
  LosslessPasses passes;
  int threads = 0;  // of the models' backend; 0: as served
};

// What the reference answers come from: no drafts, one request at a time, nothing cached.
EngineOptions LosslessReference(const EngineOptions& served);

struct LosslessScope {
  std::span<const GenerationRequest> requests;  // that will be asked
  std::span<const int> thread_counts = {};      // to try besides the backend's own
  int64_t requests_between = 1000;              // before the same are asked again
};

// `served` are the options to be vouched for, resolved (kv_plan.h).
std::vector<LosslessSetting> LosslessSettings(const GemmaConfig& verifier,
                                              const EngineOptions& served, bool has_drafter,
                                              const LosslessScope& scope);

}  // namespace talon

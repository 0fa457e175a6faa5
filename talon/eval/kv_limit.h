// How much KV cache an evaluation's engine may have.
#pragma once

#include <algorithm>
#include <cstdint>

#include "talon/engine/kv_plan.h"

namespace talon {

inline constexpr int64_t kEvalKvBytes = int64_t{1} << 30;

// kEvalKvBytes, or what one request needs where that is more. `drafter` may be null.
inline int64_t EvalKvBytes(const GemmaConfig& verifier, const Drafter* drafter,
                           const EngineOptions& options) {
  const KvPlan plan = PlanKv(verifier, drafter, ResolveEngineOptions(verifier, drafter, options));
  return std::max(kEvalKvBytes, plan.Bytes(plan.sequence_pages));
}

}  // namespace talon

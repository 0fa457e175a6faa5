// Runs a test body once for each vector unit that Highway kernels are built for and this machine
// has, the scalar fallback included.
#pragma once

#include <gtest/gtest.h>

#include <functional>

// clang-format off
#include "talon/backend/cpu/highway_targets.h"
#include <hwy/highway.h>
// clang-format on

namespace talon::test {

inline void ForEachTarget(const std::function<void()>& body) {
  const int64_t available = hwy::SupportedTargets() & HWY_TARGETS;
  for (int64_t rest = available; rest != 0; rest &= rest - 1) {
    const int64_t target = rest & -rest;
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(target);
    body();
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace talon::test

// The models that `talon bench --shape` makes from random weights.
#pragma once

#include <string_view>

#include "talon/checkpoint/model_config.h"

namespace talon {

struct BenchShape {
  GemmaConfig verifier;
  Eagle3Config drafter;
};

// "gemma-4-31b" with its published drafter's shape, or "tiny", a model of the same kind that a test
// can afford. Throws kInvalidArgument for another name. Source: specs/gemma.md 1.2.
BenchShape FindBenchShape(std::string_view name);

}  // namespace talon

// Where `talon quantize` gets the largest input magnitudes from.
#pragma once

#include "apps/talon/quantize_options.h"
#include "talon/base/json.h"
#include "talon/quantize/amax.h"
#include "talon/quantize/recipe.h"

namespace talon {

struct InputAmaxSource {
  InputAmax amax;  // empty for weight-only recipes
  Json record;     // how it came about, for the provenance record; null for weight-only recipes
};

// Throws kInvalidArgument when the flags give the recipe too little or too much.
void RequireAmaxFlags(const QuantizeOptions& options, const Recipe& recipe);

InputAmaxSource ObtainInputAmax(const QuantizeOptions& options, const Recipe& recipe);

}  // namespace talon

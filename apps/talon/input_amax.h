// Where `talon quantize` gets the largest input magnitudes from: calibration, or a file.
#pragma once

#include <string>

#include "apps/talon/quantize_options.h"
#include "talon/base/json.h"
#include "talon/quantize/amax.h"
#include "talon/quantize/model_files.h"
#include "talon/quantize/recipe.h"

namespace talon {

struct InputAmaxSource {
  InputAmax amax;    // empty for weight-only recipes
  Json record;       // how it came about, for the provenance record; null for weight-only recipes
  std::string text;  // the same for people: ranges by linear and step
};

// Throws kInvalidArgument when the flags give the recipe too little or too much.
void RequireAmaxFlags(const QuantizeOptions& options, const Recipe& recipe);

// Reads the file, or runs the verifier over the conversations and observes `source`'s linears.
InputAmaxSource ObtainInputAmax(const QuantizeOptions& options, const Recipe& recipe,
                                const ModelFiles& source);

}  // namespace talon

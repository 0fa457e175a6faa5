#include "talon/quantize/recipe.h"

#include "talon/base/error.h"

namespace talon {

std::string_view Name(EmbeddingMode mode) {
  switch (mode) {
    case EmbeddingMode::kAuto:
      return "auto";
    case EmbeddingMode::kKeep:
      return "keep";
    case EmbeddingMode::kShare:
      return "share";
    case EmbeddingMode::kNvfp4:
      return "nvfp4";
  }
  return "?";
}

std::string_view Name(ScaleDivision division) {
  return division == ScaleDivision::kGpu ? "gpu" : "ieee";
}

Recipe ParseRecipe(std::string_view name) {
  Recipe recipe;
  if (name == "w4a16") {
    recipe.quantize_activations = false;
  } else if (name != "max") {
    Throw(ErrorCode::kInvalidArgument, "--recipe {}: unknown; give max or w4a16", name);
  }
  return recipe;
}

EmbeddingMode ParseEmbeddingMode(std::string_view name) {
  for (const EmbeddingMode mode :
       {EmbeddingMode::kAuto, EmbeddingMode::kKeep, EmbeddingMode::kShare, EmbeddingMode::kNvfp4}) {
    if (name == Name(mode)) return mode;
  }
  Throw(ErrorCode::kInvalidArgument, "--embedding {}: unknown; give auto, keep, share or nvfp4",
        name);
}

ScaleDivision ParseScaleDivision(std::string_view name) {
  if (name == "ieee") return ScaleDivision::kIeee;
  if (name == "gpu") return ScaleDivision::kGpu;
  Throw(ErrorCode::kInvalidArgument, "--scale-division {}: unknown; give ieee or gpu", name);
}

bool ParseQuantizeLmHead(std::string_view name) {
  if (name == "bf16") return false;
  if (name == "nvfp4") return true;
  Throw(ErrorCode::kInvalidArgument, "--lm-head {}: unknown; give bf16 or nvfp4", name);
}

}  // namespace talon

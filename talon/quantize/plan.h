// Decides what happens to every tensor of a checkpoint, and computes the per-tensor scales, before
// anything is written.
#pragma once

#include <string>
#include <vector>

#include "talon/base/thread_pool.h"
#include "talon/quantize/amax.h"
#include "talon/quantize/model_files.h"
#include "talon/quantize/recipe.h"

namespace talon {

enum class TensorAction : uint8_t { kKeep, kQuantize, kDrop };

struct PlannedTensor {
  const TensorView* source = nullptr;
  ModelPart part = ModelPart::kOther;
  TensorAction action = TensorAction::kKeep;
  // What follows is set for kQuantize. The maxima are those of the share group.
  std::string module;  // the name without ".weight"
  float weight_amax = 0.0f;
  float weight_scale_2 = 0.0f;
  float input_amax = 0.0f;   // 0: weight-only
  float input_scale = 0.0f;  // 0: weight-only
};

struct QuantizationPlan {
  Recipe recipe;
  std::vector<PlannedTensor> tensors;  // by name
  std::string embedding_note;          // what was decided and why, one sentence
};

// Chooses the linears of the recipe, shares maxima inside q/k/v and gate/up before any scale is
// formed, and decides about the embedding. `source` must outlive the plan. `verifier` may be null.
// `amax` is used when the recipe quantizes activations. Throws naming the tensor that is missing,
// misshaped, not BF16 or not finite, the linear whose input amax is missing, or the option that
// does not fit.
QuantizationPlan MakePlan(const ModelFiles& source, const Recipe& recipe, const InputAmax& amax,
                          const ModelFiles* verifier, ThreadPool& pool);

// The file tensors that a planned tensor becomes: itself, the NVFP4 tensors of a linear, or
// nothing.
std::vector<TensorSpec> OutputSpecs(const PlannedTensor& tensor);

int64_t ByteCount(const TensorSpec& spec);

// Modules whose weights the recipe quantizes, by name; what a calibration has to observe.
std::vector<std::string> QuantizedModules(const ModelLayout& layout, const Recipe& recipe);

}  // namespace talon

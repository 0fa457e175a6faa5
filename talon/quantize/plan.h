// Decides what happens to every tensor of a checkpoint, then computes the per-tensor scales, before
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
  std::string module;        // the name without ".weight"
  bool weight_only = false;  // kQuantize: without input_scale
  // Set by SetScales for kQuantize. The maxima are those of the share group.
  float weight_amax = 0.0f;
  float weight_scale_2 = 0.0f;
  float input_amax = 0.0f;
  float input_scale = 0.0f;
};

struct QuantizationPlan {
  Recipe recipe;
  std::vector<PlannedTensor> tensors;  // by name
  std::string embedding_note;          // what was decided and why, one sentence
};

// Chooses the linears of the recipe and decides about the embedding. `source` must outlive the
// plan; `verifier` may be null. Throws naming the tensor that is missing, misshaped or not BF16,
// the option that does not fit, or the field in which drafter and verifier differ.
QuantizationPlan MakePlan(const ModelFiles& source, const Recipe& recipe,
                          const ModelFiles* verifier, ThreadPool& pool);

// Reads the weights' maxima, shares maxima inside q/k/v and gate/up, and forms the scales from
// them. `amax` is used where the recipe quantizes activations. Throws naming the tensor that is not
// finite or the linear whose input amax is missing.
void SetScales(const ModelFiles& source, const InputAmax& amax, QuantizationPlan& plan,
               ThreadPool& pool);

// The file tensors that a planned tensor becomes: itself, the NVFP4 tensors of a linear, or
// nothing.
std::vector<TensorSpec> OutputSpecs(const PlannedTensor& tensor);

int64_t ByteCount(const TensorSpec& spec);

// Modules whose weights the recipe quantizes, by name; what a calibration has to observe.
std::vector<std::string> QuantizedModules(const ModelLayout& layout, const Recipe& recipe);

}  // namespace talon

#include "talon/quantize/plan.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "talon/base/error.h"
#include "talon/base/progress.h"
#include "talon/numeric/nvfp4.h"
#include "talon/quantize/weight_quantizer.h"

namespace talon {
namespace {

bool IsQuantized(const LayoutTensor& tensor, const Recipe& recipe) {
  if (tensor.part == ModelPart::kEmbedding) return recipe.embedding == EmbeddingMode::kNvfp4;
  if (tensor.part == ModelPart::kLmHead) return recipe.quantize_lm_head;
  return tensor.is_linear;
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

void RequireOptionsFit(const ModelFiles& source, const Recipe& recipe) {
  if (source.layout.is_drafter()) return;
  if (recipe.embedding == EmbeddingMode::kShare || recipe.embedding == EmbeddingMode::kNvfp4) {
    Throw(ErrorCode::kInvalidArgument,
          "--embedding {}: {} is a verifier, whose embedding is also its output layer; give keep",
          Name(recipe.embedding), source.path.string());
  }
  if (recipe.quantize_lm_head && source.store.Find("lm_head.weight") == nullptr) {
    Throw(ErrorCode::kInvalidArgument,
          "--lm-head nvfp4: {} has no lm_head of its own (it is tied to the embedding); give bf16",
          source.path.string());
  }
}

void RequireUnquantized(const ModelFiles& source) {
  for (const auto& [name, tensor] : source.store.tensors()) {
    if (name.ends_with(".weight_scale") || name.ends_with(".weight_packed")) {
      Throw(ErrorCode::kInvalidArgument,
            "{}: is quantized already (tensor '{}'); quantize the BF16 checkpoint instead",
            source.path.string(), name);
    }
  }
}

// Every tensor of the layout is there in BF16 and in shape; those to be quantized have whole
// blocks.
void RequireLayout(const ModelFiles& source, const Recipe& recipe) {
  for (const auto& [name, expected] : source.layout.tensors) {
    const TensorView* tensor = source.store.Find(name);
    const bool quantized = IsQuantized(expected, recipe);
    if (tensor == nullptr) {
      if (!expected.required && !quantized) continue;
      Throw(ErrorCode::kNotFound, "{}: tensor '{}' of shape {} is missing", source.path.string(),
            name, ShapeText(expected.shape));
    }
    if (tensor->shape != expected.shape) {
      Throw(ErrorCode::kDataLoss, "{}: tensor '{}' has shape {}, but config.json asks for {}",
            source.path.string(), name, ShapeText(tensor->shape), ShapeText(expected.shape));
    }
    if (!quantized) continue;
    if (tensor->dtype != DType::kBF16) {
      Throw(ErrorCode::kUnsupported,
            "{}: tensor '{}' is {}; Talon quantizes BF16 weights, convert the checkpoint first",
            source.path.string(), name, Name(tensor->dtype));
    }
    if (expected.shape.back() % kNvfp4BlockSize != 0) {
      Throw(ErrorCode::kUnsupported, "{}: tensor '{}' has {} columns; NVFP4 needs a multiple of {}",
            source.path.string(), name, expected.shape.back(), kNvfp4BlockSize);
    }
  }
}

TensorAction DecideEmbedding(const ModelFiles& source, const TensorView& embedding,
                             const ModelFiles* verifier, QuantizationPlan& plan, ThreadPool& pool) {
  const EmbeddingMode mode = plan.recipe.embedding;
  if (!source.layout.is_drafter() || mode == EmbeddingMode::kKeep) {
    plan.embedding_note = "kept";
    return TensorAction::kKeep;
  }
  if (mode == EmbeddingMode::kNvfp4) {
    plan.embedding_note = "quantized to NVFP4; vLLM reads BF16 embeddings only";
    return TensorAction::kQuantize;
  }
  if (verifier == nullptr) {
    const bool share = mode == EmbeddingMode::kShare;
    plan.embedding_note = share ? "left out unproven: no verifier was given to compare it with"
                                : "kept: no verifier was given to compare it with";
    return share ? TensorAction::kDrop : TensorAction::kKeep;
  }
  const TensorView* theirs = verifier->store.Find(verifier->layout.embedding_module() + ".weight");
  const bool same = theirs != nullptr && SameTensor(pool, embedding, *theirs);
  if (!same && mode == EmbeddingMode::kShare) {
    Throw(ErrorCode::kInvalidArgument,
          "--embedding share: embed_tokens of {} differs from the verifier's; give auto or keep",
          source.path.string());
  }
  plan.embedding_note = same ? "left out: its bytes equal the verifier's, which is shared"
                             : "kept: it differs from the verifier's";
  return same ? TensorAction::kDrop : TensorAction::kKeep;
}

PlannedTensor PlanTensor(const ModelFiles& source, const TensorView& tensor,
                         const ModelFiles* verifier, QuantizationPlan& plan, ThreadPool& pool) {
  PlannedTensor planned;
  planned.source = &tensor;
  const auto found = source.layout.tensors.find(tensor.name);
  if (found == source.layout.tensors.end()) {
    if (source.layout.is_drafter()) {
      Throw(ErrorCode::kDataLoss,
            "{}: tensor '{}' {} is not part of an EAGLE-3 drafter; remove it from the checkpoint",
            source.path.string(), tensor.name, ShapeText(tensor.shape));
    }
    return planned;
  }
  const LayoutTensor& layout = found->second;
  planned.part = layout.part;
  planned.module = layout.module();
  planned.weight_only = !plan.recipe.quantize_activations || layout.part == ModelPart::kEmbedding;
  if (layout.part == ModelPart::kEmbedding) {
    planned.action = DecideEmbedding(source, tensor, verifier, plan, pool);
  } else if (IsQuantized(layout, plan.recipe)) {
    planned.action = TensorAction::kQuantize;
  }
  return planned;
}

float FindInputAmax(const ModelFiles& source, const InputAmax& amax, const std::string& module) {
  const auto found = amax.find(module);
  if (found != amax.end() && std::isfinite(found->second) && found->second > 0.0f) {
    return found->second;
  }
  Throw(ErrorCode::kInvalidArgument,
        "{}: no input amax for linear '{}': the calibration never reached it; use more "
        "conversations, or give the value with --amax",
        source.path.string(), module);
}

void RequireKnownNames(const ModelFiles& source, const InputAmax& amax) {
  for (const auto& [module, value] : amax) {
    if (!source.layout.tensors.contains(module + ".weight")) {
      Throw(ErrorCode::kInvalidArgument, "input amax names '{}', which is no linear of {}", module,
            source.path.string());
    }
  }
}

struct GroupAmax {
  float weight = 0.0f;
  float input = 0.0f;
};

}  // namespace

QuantizationPlan MakePlan(const ModelFiles& source, const Recipe& recipe,
                          const ModelFiles* verifier, ThreadPool& pool) {
  QuantizationPlan plan;
  plan.recipe = recipe;
  plan.embedding_note = "absent from the source: the runtime takes the verifier's";
  RequireOptionsFit(source, recipe);
  RequireUnquantized(source);
  RequireLayout(source, recipe);
  if (verifier != nullptr && source.layout.is_drafter()) {
    if (verifier->layout.is_drafter()) {
      Throw(ErrorCode::kInvalidArgument, "--verifier {}: is a drafter", verifier->path.string());
    }
    RequireMatchingPair(source.layout.drafter(), verifier->layout.verifier());
  }
  for (const auto& [name, tensor] : source.store.tensors()) {
    plan.tensors.push_back(PlanTensor(source, tensor, verifier, plan, pool));
  }
  return plan;
}

void SetScales(const ModelFiles& source, const InputAmax& amax, QuantizationPlan& plan,
               ThreadPool& pool) {
  if (plan.recipe.quantize_activations) RequireKnownNames(source, amax);
  const auto count = std::count_if(
      plan.tensors.begin(), plan.tensors.end(),
      [](const PlannedTensor& tensor) { return tensor.action == TensorAction::kQuantize; });
  Progress progress("largest weights", count, "linears");
  std::map<std::string, GroupAmax> groups;
  for (const PlannedTensor& tensor : plan.tensors) {
    if (tensor.action != TensorAction::kQuantize) continue;
    GroupAmax& group = groups[ShareGroup(tensor.module)];
    group.weight = std::max(group.weight, WeightAmax(pool, *tensor.source));
    if (!tensor.weight_only) {
      group.input = std::max(group.input, FindInputAmax(source, amax, tensor.module));
    }
    progress.Advance();
  }
  for (PlannedTensor& tensor : plan.tensors) {
    if (tensor.action != TensorAction::kQuantize) continue;
    const GroupAmax& group = groups.at(ShareGroup(tensor.module));
    tensor.weight_amax = group.weight;
    tensor.weight_scale_2 = Nvfp4TensorScale(group.weight, plan.recipe.division);
    if (tensor.weight_only) continue;
    tensor.input_amax = group.input;
    tensor.input_scale = Nvfp4TensorScale(group.input, plan.recipe.division);
  }
}

std::vector<TensorSpec> OutputSpecs(const PlannedTensor& tensor) {
  const TensorView& source = *tensor.source;
  if (tensor.action == TensorAction::kDrop) return {};
  if (tensor.action == TensorAction::kKeep) return {{source.name, source.dtype, source.shape}};
  const int64_t out = source.shape[0];
  const int64_t in = source.shape[1];
  std::vector<TensorSpec> specs = {
      {source.name, DType::kU8, {out, in / 2}},
      {tensor.module + ".weight_scale", DType::kF8E4M3, {out, in / kNvfp4BlockSize}},
      {tensor.module + ".weight_scale_2", DType::kF32, {}}};
  if (!tensor.weight_only) specs.push_back({tensor.module + ".input_scale", DType::kF32, {}});
  return specs;
}

int64_t ByteCount(const TensorSpec& spec) {
  int64_t count = 1;
  for (const int64_t size : spec.shape) count *= size;
  return count * SizeOf(spec.dtype);
}

std::vector<std::string> QuantizedModules(const ModelLayout& layout, const Recipe& recipe) {
  std::vector<std::string> modules;
  for (const auto& [name, tensor] : layout.tensors) {
    if (IsQuantized(tensor, recipe) && tensor.is_linear) modules.push_back(tensor.module());
  }
  return modules;
}

}  // namespace talon

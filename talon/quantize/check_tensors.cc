// Tensors against the layout that config.json implies.
#include "talon/base/error.h"
#include "talon/quantize/check_steps.h"
#include "talon/quantize/weight_quantizer.h"

namespace talon::check {
namespace {

std::string ShapeText(const std::vector<int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

// What the weight's shape must be in the format it is stored in.
std::vector<int64_t> StoredShape(const StoredModule& module, const LayoutTensor& expected) {
  std::vector<int64_t> shape = expected.shape;
  const StoredFormat format = module.format();
  if (format == StoredFormat::kNvfp4 || format == StoredFormat::kCompressedTensors) {
    shape.back() /= 2;
  }
  return shape;
}

void CheckPresentTensor(const StoredModule& module, const LayoutTensor& expected,
                        CheckReport& report) {
  const TensorView& weight = *module.weight();
  const std::vector<int64_t> shape = StoredShape(module, expected);
  if (weight.shape != shape) {
    Add(report, Severity::kError, weight.name, "has shape {}, but config.json asks for {}",
        weight.ShapeText(), ShapeText(shape));
  }
  const bool may_be_quantized = expected.is_linear || expected.part == ModelPart::kEmbedding;
  if (module.format() != StoredFormat::kPlain) {
    if (!may_be_quantized) {
      Add(report, Severity::kError, weight.name, "is {}, but is no matrix to be quantized",
          module.FormatName());
    }
    if (expected.part == ModelPart::kEmbedding) {
      Add(report, Severity::kWarning, weight.name, "is {}: vLLM reads BF16 embeddings only",
          module.FormatName());
    }
    return;
  }
  if (expected.part == ModelPart::kVocabularyMaps) return;  // CheckVocabularyMaps
  if (weight.dtype == DType::kF32 || weight.dtype == DType::kF16) {
    Add(report, Severity::kWarning, weight.name,
        "is {}: loaders convert it to BF16 silently; store BF16", Name(weight.dtype));
  } else if (weight.dtype != DType::kBF16) {
    Add(report, Severity::kError, weight.name, "is {}; expected BF16", Name(weight.dtype));
  }
}

bool IsTextTensor(const ModelFiles& files, const std::string& name) {
  return files.layout.is_drafter() || name.starts_with(files.layout.verifier().tensor_prefix) ||
         name.starts_with("lm_head");
}

void CheckExtra(const ModelFiles& files, const Modules& modules, CheckReport& report) {
  int64_t num_other = 0;
  for (const auto& [name, module] : modules) {
    if (files.layout.tensors.contains(name + ".weight") || files.layout.tensors.contains(name)) {
      continue;
    }
    // FP8 KV scales of vLLM's attention module.
    const bool scales_only = module.weight() == nullptr;
    if (!IsTextTensor(files, name)) {
      ++num_other;
    } else if (!scales_only || files.layout.is_drafter()) {
      Add(report, Severity::kError, module.tensors.begin()->second->name,
          "is not part of the model that config.json describes; remove it");
    }
  }
  if (num_other > 0) {
    Add(report, Severity::kNote, "model.safetensors",
        "{} modules outside the text model (vision, audio) are not checked", num_other);
  }
}

}  // namespace

void CheckTensors(const ModelFiles& files, const Modules& modules, CheckReport& report) {
  for (const auto& [name, expected] : files.layout.tensors) {
    const auto found = modules.find(expected.module());
    const bool present = found != modules.end() && found->second.weight() != nullptr;
    if (present) {
      CheckPresentTensor(found->second, expected, report);
    } else if (expected.required) {
      Add(report, Severity::kError, name, "is missing; expected shape {}",
          ShapeText(expected.shape));
    } else if (expected.part == ModelPart::kEmbedding) {
      Add(report, Severity::kNote, name, "is absent: the verifier's embedding is shared");
    }
  }
  CheckExtra(files, modules, report);
}

void CheckFinite(const ModelFiles& files, ThreadPool& pool, CheckReport& report) {
  for (const auto& [name, tensor] : files.store.tensors()) {
    if (tensor.dtype != DType::kBF16) continue;
    try {
      WeightAmax(pool, tensor);
    } catch (const Error& error) {
      Add(report, Severity::kError, name, "{}", error.what());
    }
  }
}

}  // namespace talon::check

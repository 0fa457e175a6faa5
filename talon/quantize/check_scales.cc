// Scales of quantized linears.
#include <cmath>
#include <cstring>
#include <optional>

#include "talon/numeric/bf16.h"
#include "talon/numeric/e4m3.h"
#include "talon/numeric/nvfp4.h"
#include "talon/quantize/check_steps.h"

namespace talon::check {
namespace {

bool IsNvfp4(const StoredModule& module) {
  const StoredFormat format = module.format();
  return format == StoredFormat::kNvfp4 || format == StoredFormat::kCompressedTensors;
}

// The value of a scalar F32 tensor; nothing when it is misformed, which is reported.
std::optional<float> ReadScalar(const TensorView& tensor, CheckReport& report) {
  if (tensor.num_elements() != 1) {
    Add(report, Severity::kError, tensor.name, "has shape {}; expected one value",
        tensor.ShapeText());
    return std::nullopt;
  }
  if (tensor.dtype != DType::kF32) {
    Add(report, Severity::kError, tensor.name,
        "is {}: loaders convert it silently and lose bits; expected F32", Name(tensor.dtype));
    return std::nullopt;
  }
  float value = 0.0f;
  std::memcpy(&value, tensor.bytes.data(), sizeof(value));
  if (!std::isfinite(value) || value <= 0.0f) {
    Add(report, Severity::kError, tensor.name, "is {}; expected a finite value above zero", value);
  }
  return value;
}

struct CodeCount {
  int64_t count = 0;
  int64_t first = 0;

  void See(int64_t index) {
    if (count++ == 0) first = index;
  }
  void Report(const TensorView& tensor, const char* what, const char* elements,
              CheckReport& report) const {
    if (count == 0) return;
    const int64_t columns = tensor.shape.empty() ? 1 : tensor.shape.back();
    Add(report, Severity::kError, tensor.name, "{} {} of {} {}, first at [{}, {}]", count, what,
        tensor.num_elements(), elements, first / columns, first % columns);
  }
};

void CheckBlockScaleCodes(const TensorView& scales, CheckReport& report) {
  CodeCount nan;
  CodeCount zero;
  CodeCount negative;
  const auto* codes = reinterpret_cast<const uint8_t*>(scales.bytes.data());
  for (int64_t i = 0; i < static_cast<int64_t>(scales.bytes.size()); ++i) {
    if (codes[i] >= 0x01 && codes[i] <= 0x7E) continue;
    if (IsNanE4m3(codes[i])) {
      nan.See(i);
    } else if ((codes[i] & 0x7F) == 0) {
      zero.See(i);
    } else {
      negative.See(i);
    }
  }
  nan.Report(scales, "NaN", "block scales", report);
  zero.Report(scales, "zero", "block scales", report);
  negative.Report(scales, "negative", "block scales", report);
}

void CheckBlockScales(const std::string& name, const StoredModule& module, CheckReport& report) {
  const TensorView& weight = *module.weight();
  const TensorView* scales = module.Find("weight_scale");
  if (scales == nullptr) {
    Add(report, Severity::kError, name + ".weight_scale", "is missing");
    return;
  }
  if (scales->dtype == DType::kU8 && weight.shape.size() == 2 && scales->shape.size() == 2 &&
      weight.shape[1] * 2 == scales->shape[1] * 32) {
    Add(report, Severity::kError, scales->name,
        "holds one U8 scale for 32 weights: this is MXFP4, not NVFP4");
    return;
  }
  if (scales->dtype != DType::kF8E4M3) {
    Add(report, Severity::kError, scales->name,
        "is {}: loaders convert the numbers silently; expected F8_E4M3", Name(scales->dtype));
    return;
  }
  if (weight.shape.size() != 2 || scales->shape.size() != 2 ||
      scales->shape[0] != weight.shape[0] || scales->shape[1] * 8 != weight.shape[1]) {
    Add(report, Severity::kError, scales->name,
        "has shape {} for packed weights {}; expected one scale for 8 bytes of a row",
        scales->ShapeText(), weight.ShapeText());
    return;
  }
  CheckBlockScaleCodes(*scales, report);
}

// The scale that multiplies the whole tensor, as stored.
const TensorView* GlobalScale(const StoredModule& module) {
  const bool reciprocal = module.format() == StoredFormat::kCompressedTensors;
  return module.Find(reciprocal ? "weight_global_scale" : "weight_scale_2");
}

const TensorView* InputScale(const StoredModule& module) {
  const bool reciprocal = module.format() == StoredFormat::kCompressedTensors;
  return module.Find(reciprocal ? "input_global_scale" : "input_scale");
}

void CheckNvfp4Module(const std::string& name, const StoredModule& module, CheckReport& report) {
  CheckBlockScales(name, module, report);
  if (const TensorView* scale = GlobalScale(module)) {
    ReadScalar(*scale, report);
  } else {
    const bool reciprocal = module.format() == StoredFormat::kCompressedTensors;
    Add(report, Severity::kError, name + (reciprocal ? ".weight_global_scale" : ".weight_scale_2"),
        "is missing");
  }
  if (const TensorView* scale = InputScale(module)) ReadScalar(*scale, report);
}

void CheckFp8Weights(const TensorView& weight, CheckReport& report) {
  CodeCount nan;
  for (size_t i = 0; i < weight.bytes.size(); ++i) {
    if (IsNanE4m3(static_cast<uint8_t>(weight.bytes[i]))) nan.See(static_cast<int64_t>(i));
  }
  nan.Report(weight, "NaN", "FP8 weights", report);
}

void CheckFp8Module(const std::string& name, const StoredModule& module, CheckReport& report) {
  CheckFp8Weights(*module.weight(), report);
  const TensorView* scale = module.Find("weight_scale");
  if (scale == nullptr) {
    Add(report, Severity::kError, name + ".weight_scale", "is missing beside an FP8 weight");
  } else if (scale->num_elements() == 1) {
    ReadScalar(*scale, report);
  }
}

// Scales that no quantized weight belongs to.
void CheckStrayScales(const StoredModule& module, CheckReport& report) {
  if (module.format() != StoredFormat::kPlain || module.weight() == nullptr) return;
  for (const char* suffix : {"weight_scale", "weight_scale_2", "weight_global_scale", "input_scale",
                             "input_global_scale"}) {
    if (const TensorView* scale = module.Find(suffix)) {
      Add(report, Severity::kError, scale->name, "belongs to a {} weight, which has no scales",
          Name(module.weight()->dtype));
    }
  }
}

// Bytes of a scale, or nothing when the module has none.
std::optional<float> Peek(const TensorView* tensor) {
  if (tensor == nullptr || tensor->dtype != DType::kF32 || tensor->num_elements() != 1) {
    return std::nullopt;
  }
  float value = 0.0f;
  std::memcpy(&value, tensor->bytes.data(), sizeof(value));
  return value;
}

// Members of a group against its first.
void CheckShared(const std::vector<std::pair<std::string, const StoredModule*>>& members,
                 CheckReport& report) {
  const std::string& first_name = members.front().first;
  const StoredModule* first = members.front().second;
  for (const auto& member : members) {
    const std::string& name = member.first;
    const StoredModule* module = member.second;
    if (module->format() != first->format()) {
      Add(report, Severity::kError, name, "is {}, but {} is {}: vLLM fuses them into one matrix",
          module->FormatName(), first_name, first->FormatName());
      continue;
    }
    if (!IsNvfp4(*module)) continue;
    const auto compare = [&](const TensorView* ours, const TensorView* theirs, const char* what) {
      if (Peek(ours) == Peek(theirs)) return;
      Add(report, Severity::kError, ours != nullptr ? ours->name : name,
          "{} differs from that of {} ({} against {}): vLLM takes the larger for both without "
          "rescaling",
          what, first_name, Peek(ours).value_or(NAN), Peek(theirs).value_or(NAN));
    };
    compare(GlobalScale(*module), GlobalScale(*first), "the weight scale");
    compare(InputScale(*module), InputScale(*first), "the input scale");
  }
}

}  // namespace

void CheckScales(const ModelFiles& files, const Modules& modules, CheckReport& report) {
  std::map<std::string, std::vector<std::pair<std::string, const StoredModule*>>> groups;
  for (const auto& [name, module] : modules) {
    if (IsNvfp4(module)) {
      CheckNvfp4Module(name, module, report);
    } else if (module.format() == StoredFormat::kFp8) {
      CheckFp8Module(name, module, report);
    }
    CheckStrayScales(module, report);
    if (files.layout.tensors.contains(name + ".weight") && module.weight() != nullptr) {
      groups[ShareGroup(name)].emplace_back(name, &module);
    }
  }
  for (const auto& [group, members] : groups) CheckShared(members, report);
}

}  // namespace talon::check

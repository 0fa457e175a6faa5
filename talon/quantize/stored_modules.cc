#include "talon/quantize/stored_modules.h"

#include <array>

namespace talon {
namespace {

constexpr std::array<std::string_view, 11> kSuffixes = {
    "weight",      "weight_packed",      "weight_scale", "weight_scale_2", "weight_global_scale",
    "input_scale", "input_global_scale", "k_scale",      "v_scale",        "pre_quant_scale",
    "bias"};

// The known suffix of a tensor's name, or "".
std::string_view SuffixOf(const std::string& name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string::npos) return "";
  const std::string last = name.substr(dot + 1);
  for (const std::string_view suffix : kSuffixes) {
    if (last == suffix) return suffix;
  }
  return "";
}

}  // namespace

const TensorView* StoredModule::Find(std::string_view suffix) const {
  const auto found = tensors.find(std::string(suffix));
  return found == tensors.end() ? nullptr : found->second;
}

const TensorView* StoredModule::weight() const {
  for (const char* suffix : {"weight", "weight_packed", ""}) {
    if (const TensorView* tensor = Find(suffix)) return tensor;
  }
  return nullptr;
}

StoredFormat StoredModule::format() const {
  if (Find("weight_packed") != nullptr) return StoredFormat::kCompressedTensors;
  const TensorView* tensor = Find("weight");
  if (tensor == nullptr) return StoredFormat::kPlain;
  if (tensor->dtype == DType::kU8) return StoredFormat::kNvfp4;
  if (tensor->dtype == DType::kF8E4M3) return StoredFormat::kFp8;
  return StoredFormat::kPlain;
}

std::string StoredModule::FormatName() const {
  switch (format()) {
    case StoredFormat::kNvfp4:
      return "NVFP4";
    case StoredFormat::kCompressedTensors:
      return "NVFP4 (compressed-tensors)";
    case StoredFormat::kFp8:
    case StoredFormat::kPlain:
      break;
  }
  return weight() == nullptr ? "scale" : std::string(Name(weight()->dtype));
}

int64_t StoredModule::num_parameters() const {
  const TensorView* tensor = weight();
  if (tensor == nullptr) return 0;
  const bool packed =
      format() == StoredFormat::kNvfp4 || format() == StoredFormat::kCompressedTensors;
  return tensor->num_elements() * (packed ? 2 : 1);
}

int64_t StoredModule::size_bytes() const {
  int64_t total = 0;
  for (const auto& [suffix, tensor] : tensors) {
    total += static_cast<int64_t>(tensor->bytes.size());
  }
  return total;
}

std::map<std::string, StoredModule> GatherModules(const TensorStore& store) {
  std::map<std::string, StoredModule> modules;
  for (const auto& [name, tensor] : store.tensors()) {
    const std::string_view suffix = SuffixOf(name);
    const std::string module =
        suffix.empty() ? name : name.substr(0, name.size() - suffix.size() - 1);
    modules[module].tensors[std::string(suffix)] = &tensor;
  }
  return modules;
}

}  // namespace talon

// The quantization config against the tensors, by vLLM's rules.
#include <algorithm>

#include "talon/base/error.h"
#include "talon/quantize/check_steps.h"
#include "talon/quantize/quant_description.h"

namespace talon::check {
namespace {

namespace fs = std::filesystem;

// A linear as the file has it.
struct Linear {
  std::string module;
  // Names that vLLM may match against the ignore list.
  std::vector<std::string> runtime_names;
  const StoredModule* stored = nullptr;

  bool quantized() const { return stored->format() != StoredFormat::kPlain; }
};

// The module that vLLM fuses this one into: qkv_proj, gate_up_proj, or itself.
std::string FusedName(const std::string& module) {
  const std::string group = ShareGroup(module);
  return group == module ? module : group + "_proj";
}

// vLLM numbers a drafter's layer after the verifier's last and drops the prefix of the file.
std::string DrafterRuntimeName(const ModelFiles& files, const std::string& module,
                               int64_t num_verifier_layers) {
  const std::string& prefix = files.layout.drafter().layer_prefix;
  if (module == "lm_head") return module;
  if (!module.starts_with(prefix)) return "model." + module;
  return fmt::format("model.layers.{}.{}", num_verifier_layers,
                     FusedName(module).substr(prefix.size()));
}

int64_t NumVerifierLayers(const ModelFiles& files, const ModelFiles* verifier) {
  if (verifier != nullptr && !verifier->layout.is_drafter()) {
    return verifier->layout.verifier().num_layers();
  }
  // The default rule takes features up to layer L - 3.
  const std::vector<int64_t>& ids = files.layout.drafter().aux_layer_ids;
  return ids.empty() ? 0 : ids.back() + 3;
}

std::vector<Linear> GatherLinears(const ModelFiles& files, const Modules& modules,
                                  const ModelFiles* verifier) {
  const bool drafter = files.layout.is_drafter();
  const int64_t layers = drafter ? NumVerifierLayers(files, verifier) : 0;
  std::vector<Linear> linears;
  for (const auto& [name, expected] : files.layout.tensors) {
    const auto found = modules.find(expected.module());
    if (!expected.is_linear || found == modules.end() || found->second.weight() == nullptr) {
      continue;
    }
    Linear linear{expected.module(), {}, &found->second};
    if (drafter) {
      linear.runtime_names = {DrafterRuntimeName(files, linear.module, layers)};
    } else {
      linear.runtime_names = {linear.module, FusedName(linear.module)};
    }
    linears.push_back(std::move(linear));
  }
  return linears;
}

void CheckIgnoreList(const QuantDescription& description, const std::vector<Linear>& linears,
                     CheckReport& report) {
  for (const Linear& linear : linears) {
    const bool ignored =
        std::any_of(linear.runtime_names.begin(), linear.runtime_names.end(),
                    [&](const std::string& name) { return description.Ignores(name); });
    if (linear.quantized() && ignored) {
      Add(report, Severity::kError, description.source,
          "ignores '{}' (in vLLM: {}), whose weight is {}", linear.module,
          linear.runtime_names.back(), linear.stored->FormatName());
    } else if (!linear.quantized() && !ignored) {
      Add(report, Severity::kError, description.source,
          "does not ignore '{}' (in vLLM: {}), whose weight is {}", linear.module,
          linear.runtime_names.back(), linear.stored->FormatName());
    }
  }
}

void CheckActivations(const QuantDescription& description, const std::vector<Linear>& linears,
                      CheckReport& report) {
  for (const Linear& linear : linears) {
    const StoredFormat format = linear.stored->format();
    if (format != StoredFormat::kNvfp4 && format != StoredFormat::kCompressedTensors) continue;
    const char* suffix = format == StoredFormat::kNvfp4 ? "input_scale" : "input_global_scale";
    const bool has_scale = linear.stored->Find(suffix) != nullptr;
    if (description.quantizes_activations && !has_scale) {
      Add(report, Severity::kError, linear.module + "." + suffix,
          "is missing, but {} says that activations are quantized: vLLM would leave it "
          "uninitialised",
          description.source);
    } else if (!description.quantizes_activations && has_scale) {
      Add(report, Severity::kWarning, linear.module + "." + suffix,
          "is not used: {} says weight-only", description.source);
    }
  }
}

void AddHfQuantConfig(const ModelFiles& files, std::vector<QuantDescription>& descriptions,
                      CheckReport& report) {
  const fs::path path = files.path / "hf_quant_config.json";
  if (!fs::exists(path)) return;
  try {
    descriptions.push_back(DescribeHfQuantConfig(ReadJsonFile(path)));
  } catch (const Error& error) {
    Add(report, Severity::kError, "hf_quant_config.json", "{}", error.what());
  }
}

}  // namespace

void CheckQuantConfig(const ModelFiles& files, const Modules& modules, const ModelFiles* verifier,
                      CheckReport& report) {
  std::vector<QuantDescription> descriptions = DescribeConfig(files.config);
  AddHfQuantConfig(files, descriptions, report);
  const std::vector<Linear> linears = GatherLinears(files, modules, verifier);
  const bool quantized = std::any_of(linears.begin(), linears.end(),
                                     [](const Linear& linear) { return linear.quantized(); });
  if (descriptions.empty()) {
    if (quantized) {
      Add(report, Severity::kError, "config.json",
          "has no quantization_config, but the linears are quantized: vLLM would build them in "
          "BF16");
    }
    return;
  }
  for (const QuantDescription& description : descriptions) {
    for (const std::string& fault : description.faults) {
      Add(report, Severity::kError, description.source, "{}", fault);
    }
    if (!quantized) {
      Add(report, Severity::kError, description.source, "is there, but no linear is quantized");
      continue;
    }
    if (description.algorithm != descriptions.front().algorithm) {
      Add(report, Severity::kError, description.source, "says '{}', but {} says '{}'",
          description.algorithm, descriptions.front().source, descriptions.front().algorithm);
    }
    if (description.faults.empty()) CheckIgnoreList(description, linears, report);
  }
  if (quantized) CheckActivations(descriptions.front(), linears, report);
}

}  // namespace talon::check

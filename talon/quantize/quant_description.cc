#include "talon/quantize/quant_description.h"

#include <fnmatch.h>
#include <regex.h>

#include <algorithm>

#include <fmt/format.h>

namespace talon {
namespace {

std::string Text(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::vector<std::string> Strings(const Json& object, const char* key) {
  std::vector<std::string> result;
  const auto found = object.find(key);
  if (found == object.end() || !found->is_array()) return result;
  for (const Json& item : *found) {
    if (item.is_string()) result.push_back(item.get<std::string>());
  }
  return result;
}

// True when some group of the flattened form quantizes its inputs; without groups the algorithm
// decides.
bool GroupsQuantizeActivations(const Json& config, const std::string& algorithm) {
  const auto groups = config.find("config_groups");
  if (groups == config.end() || !groups->is_object() || groups->empty()) {
    return algorithm != "W4A16_NVFP4";
  }
  if (algorithm == "W4A16_NVFP4") return false;
  return std::any_of(groups->begin(), groups->end(), [](const Json& group) {
    const auto inputs = group.find("input_activations");
    return inputs != group.end() && !inputs->is_null();
  });
}

// {producer, quantization: {quant_algo, exclude_modules, ...}}.
QuantDescription DescribeNested(const Json& config, const std::string& source) {
  QuantDescription description;
  description.source = source;
  const Json& quantization = config.at("quantization");
  description.algorithm = Text(quantization, "quant_algo");
  description.quantizes_activations = description.algorithm != "W4A16_NVFP4";
  description.ignore = Strings(quantization, "exclude_modules");
  for (const char* key : {"quant_algo", "group_size", "kv_cache_quant_algo", "exclude_modules"}) {
    if (!quantization.contains(key)) {
      description.faults.push_back(fmt::format("lacks quantization.{}, which vLLM asks for", key));
    }
  }
  return description;
}

void DescribeModelOpt(const Json& config, QuantDescription& description) {
  description.algorithm = Text(config, "quant_algo");
  description.quantizes_activations = GroupsQuantizeActivations(config, description.algorithm);
  if (!config.contains("ignore")) {
    description.faults.push_back(
        config.contains("exclude_modules")
            ? "has exclude_modules, but vLLM reads only ignore in this form"
            : "lacks ignore, so vLLM takes every linear for quantized");
  }
  for (const std::string& pattern : description.ignore) {
    if (pattern.starts_with("re:")) {
      description.faults.push_back(
          fmt::format("ignores '{}', but vLLM knows no re: patterns in ModelOpt configs", pattern));
    }
  }
}

QuantDescription DescribeFlattened(const Json& config, const std::string& source) {
  QuantDescription description;
  description.source = source;
  description.ignore = Strings(config, "ignore");
  const std::string method = Text(config, "quant_method");
  if (method == "compressed-tensors") {
    description.compressed_tensors = true;
    description.algorithm = Text(config, "format");
    description.quantizes_activations = GroupsQuantizeActivations(config, "");
  } else if (method == "modelopt" || method == "modelopt_fp4") {
    DescribeModelOpt(config, description);
  } else {
    description.algorithm = Text(config, "quant_algo");
    description.faults.push_back(method.empty()
                                     ? "lacks quant_method, so vLLM refuses it; write \"modelopt\""
                                     : fmt::format("has quant_method \"{}\"; expected modelopt or "
                                                   "compressed-tensors",
                                                   method));
  }
  return description;
}

QuantDescription Describe(const Json& config, const std::string& source) {
  const auto nested = config.find("quantization");
  if (nested != config.end() && nested->is_object()) return DescribeNested(config, source);
  return DescribeFlattened(config, source);
}

void ReplaceAll(std::string& text, const std::string& from, const std::string& to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

// Python's re.match for the patterns that ignore lists hold: POSIX extended expressions, with the
// two spellings that those lack. A pattern beyond that matches nothing.
bool MatchesRegex(std::string pattern, const std::string& name) {
  ReplaceAll(pattern, "(?:", "(");
  ReplaceAll(pattern, "\\d", "[0-9]");
  regex_t compiled;
  if (::regcomp(&compiled, fmt::format("^({})", pattern).c_str(), REG_EXTENDED | REG_NOSUB) != 0) {
    return false;
  }
  const bool matches = ::regexec(&compiled, name.c_str(), 0, nullptr, 0) == 0;
  ::regfree(&compiled);
  return matches;
}

}  // namespace

bool QuantDescription::Ignores(const std::string& runtime_name) const {
  return std::any_of(ignore.begin(), ignore.end(), [&](const std::string& pattern) {
    if (compressed_tensors) {
      return pattern.starts_with("re:") ? MatchesRegex(pattern.substr(3), runtime_name)
                                        : pattern == runtime_name;
    }
    if (pattern.find_first_of("*?[") == std::string::npos) {
      return runtime_name.find(pattern) != std::string::npos;
    }
    return ::fnmatch(pattern.c_str(), runtime_name.c_str(), 0) == 0;
  });
}

std::vector<QuantDescription> DescribeConfig(const Json& config) {
  std::vector<QuantDescription> descriptions;
  const auto add = [&descriptions](const Json& object, const std::string& prefix) {
    const auto found = object.find("quantization_config");
    if (found == object.end() || !found->is_object()) return;
    descriptions.push_back(Describe(*found, "config.json " + prefix + "quantization_config"));
  };
  if (!config.is_object()) return descriptions;
  add(config, "");
  for (const char* nested : {"transformer_layer_config", "text_config"}) {
    const auto found = config.find(nested);
    if (found != config.end() && found->is_object()) add(*found, fmt::format("{}.", nested));
  }
  return descriptions;
}

QuantDescription DescribeHfQuantConfig(const Json& config) {
  const std::string source = "hf_quant_config.json";
  if (config.is_object()) return Describe(config, source);
  QuantDescription description;
  description.source = source;
  description.faults.push_back("is no JSON object");
  return description;
}

}  // namespace talon

#include "talon/checkpoint/quantization_config.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "talon/checkpoint/config_reader.h"

namespace talon {
namespace {

constexpr char kReadable[] =
    "Talon reads BF16, FP8 (per tensor or channel) and NVFP4 weights of ModelOpt or "
    "compressed-tensors";

std::string Producer(const ConfigReader& config) {
  if (!config.Has("producer")) return "";
  const ConfigReader producer = config.Object("producer");
  return producer.StringOr("name", "") + " " + producer.StringOr("version", "");
}

// Entries of `ignore` and `exclude_modules`, without repetitions.
std::vector<std::string> IgnoreList(const ConfigReader& config) {
  std::vector<std::string> list = config.StringsOrEmpty("ignore");
  for (const std::string& entry : config.StringsOrEmpty("exclude_modules")) {
    if (std::find(list.begin(), list.end(), entry) == list.end()) list.push_back(entry);
  }
  return list;
}

void CheckModelOptAlgorithm(const ConfigReader& config) {
  constexpr std::array<std::string_view, 6> kAlgorithms = {
      "NVFP4", "W4A16_NVFP4", "NVFP4_AWQ", "FP8", "FP8_PER_CHANNEL_PER_TOKEN", "MIXED_PRECISION"};
  const std::string algorithm = config.StringOr("quant_algo", "");
  if (std::find(kAlgorithms.begin(), kAlgorithms.end(), algorithm) == kAlgorithms.end()) {
    config.Unsupported("quant_algo", kReadable);
  }
}

// `config` holds quant_algo: the flattened form itself or the nested form's "quantization".
QuantizationConfig ParseModelOpt(const ConfigReader& config) {
  CheckModelOptAlgorithm(config);
  QuantizationConfig result;
  result.method = "modelopt";
  result.algorithm = config.StringOr("quant_algo", "");
  result.ignore = IgnoreList(config);
  result.producer = Producer(config);
  result.kv_cache = config.StringOr("kv_cache_quant_algo", "");
  if (config.Has("kv_cache_scheme")) {
    result.kv_cache =
        config.Object("kv_cache_scheme").IntegerOr("num_bits", 8, 1, 16) == 4 ? "NVFP4" : "FP8";
  }
  return result;
}

// One config group's weights: 4-bit float in blocks of 16, or 8-bit float per tensor or channel.
void CheckCompressedWeights(const ConfigReader& group) {
  const ConfigReader weights = group.Object("weights");
  const int64_t bits = weights.IntegerOr("num_bits", 8, 1, 32);
  if (weights.StringOr("type", "int") != "float") {
    Throw(ErrorCode::kUnsupported, "{}: int{} weights are not supported; {}", weights.Where("type"),
          bits, kReadable);
  }
  const std::string strategy = weights.StringOr("strategy", "tensor");
  if (bits == 4) {
    if (strategy != "tensor_group") {
      weights.Unsupported("strategy",
                          "4-bit float weights must be NVFP4 (tensor_group), not MXFP4");
    }
    if (weights.IntegerOr("group_size", 16, 1, 1 << 20) != 16) {
      weights.Unsupported("group_size", "NVFP4 has blocks of 16");
    }
  } else if (bits == 8) {
    if (strategy != "tensor" && strategy != "channel") weights.Unsupported("strategy", kReadable);
  } else {
    weights.Unsupported("num_bits", kReadable);
  }
}

QuantizationConfig ParseCompressedTensors(const ConfigReader& config) {
  QuantizationConfig result;
  result.method = "compressed-tensors";
  result.algorithm = config.StringOr("format", "");
  result.ignore = IgnoreList(config);
  if (config.Has("kv_cache_scheme")) result.kv_cache = "FP8";
  if (config.Has("sparsity_config") &&
      config.Object("sparsity_config").StringOr("format", "dense") != "dense") {
    config.Unsupported("sparsity_config", "sparse weights are not supported");
  }
  if (config.Has("transform_config") && !config.Find("transform_config")->empty()) {
    config.Unsupported("transform_config", "rotated models are not supported");
  }
  const ConfigReader groups = config.Object("config_groups");
  for (const auto& [name, group] : groups.json().items()) {
    const ConfigReader reader = groups.Object(name);
    if (reader.Has("weights")) CheckCompressedWeights(reader);
  }
  return result;
}

QuantizationConfig ParseDeclaration(const ConfigReader& config) {
  if (config.Has("quantization")) {
    const ConfigReader nested = config.Object("quantization");
    QuantizationConfig result = ParseModelOpt(nested);
    result.producer = Producer(config);
    return result;
  }
  const std::string method = config.StringOr("quant_method", "");
  if (method == "compressed-tensors") return ParseCompressedTensors(config);
  if (method == "modelopt" || method == "modelopt_fp4") return ParseModelOpt(config);
  config.Unsupported("quant_method", kReadable);
}

}  // namespace

std::optional<QuantizationConfig> ParseQuantizationConfig(const Json& json,
                                                          const std::string& source) {
  const ConfigReader config(json, source);
  if (config.Has("quantization_config")) {
    return ParseDeclaration(config.Object("quantization_config"));
  }
  // Older multimodal and speculators files keep it with the inner model.
  for (const char* inner : {"text_config", "transformer_layer_config"}) {
    if (!config.Has(inner)) continue;
    const ConfigReader part = config.Object(inner);
    if (part.Has("quantization_config")) {
      return ParseDeclaration(part.Object("quantization_config"));
    }
  }
  return std::nullopt;
}

std::optional<QuantizationConfig> ReadQuantizationConfig(const std::filesystem::path& directory) {
  const std::filesystem::path config = directory / "config.json";
  std::optional<QuantizationConfig> found =
      ParseQuantizationConfig(ReadJsonFile(config), config.string());
  const std::filesystem::path separate = directory / "hf_quant_config.json";
  std::error_code error;
  if (!found && std::filesystem::exists(separate, error)) {
    const Json json = ReadJsonFile(separate);
    found = ParseDeclaration(ConfigReader(json, separate.string()));
  }
  return found;
}

}  // namespace talon

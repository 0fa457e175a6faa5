// generation_config.json: the sampling defaults a checkpoint recommends, and its stop tokens.
#include <limits>

#include "talon/checkpoint/config_reader.h"
#include "talon/checkpoint/model_config.h"

namespace talon {

GenerationConfig ReadGenerationConfig(const std::filesystem::path& directory) {
  constexpr int64_t kMaxTokens = std::numeric_limits<int32_t>::max();
  const std::filesystem::path path = directory / "generation_config.json";
  GenerationConfig config;
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return config;
  const Json json = ReadJsonFile(path);
  const ConfigReader reader(json, path.string());
  config.do_sample = reader.BoolOr("do_sample", config.do_sample);
  // Zero is a legal spelling of greedy decoding.
  const Json* temperature = reader.Find("temperature");
  config.temperature = temperature != nullptr && *temperature == 0
                           ? 0.0
                           : reader.PositiveNumberOr("temperature", config.temperature);
  config.top_k = reader.IntegerOr("top_k", config.top_k, 0, kMaxTokens);
  config.top_p = reader.PositiveNumberOr("top_p", config.top_p);
  for (const int64_t id : reader.IntegersOrEmpty("eos_token_id", 0, kMaxTokens)) {
    config.eos_token_ids.push_back(static_cast<int32_t>(id));
  }
  return config;
}

}  // namespace talon

#include "talon/model/load.h"

#include "talon/base/json.h"
#include "talon/checkpoint/model_config.h"

namespace talon {

LoadedVerifier LoadVerifier(Backend& backend, const std::filesystem::path& directory,
                            const ModelOptions& options) {
  const std::filesystem::path config_path = directory / "config.json";
  const GemmaConfig config = ParseGemmaConfig(ReadJsonFile(config_path), config_path.string());
  LoadedVerifier loaded;
  loaded.directory = directory;
  loaded.store = std::make_unique<TensorStore>(TensorStore::Open(directory));
  loaded.model = std::make_unique<GemmaModel>(backend, config, *loaded.store, options);
  return loaded;
}

LoadedDrafter LoadDrafter(const std::filesystem::path& directory, const ModelOptions& options,
                          const GemmaModel& verifier) {
  const std::filesystem::path config_path = directory / "config.json";
  const Eagle3Config config = ParseEagle3Config(ReadJsonFile(config_path), config_path.string());
  LoadedDrafter loaded;
  loaded.directory = directory;
  loaded.store = std::make_unique<TensorStore>(TensorStore::Open(directory));
  loaded.model = std::make_unique<Eagle3Drafter>(config, *loaded.store, options, verifier);
  return loaded;
}

}  // namespace talon

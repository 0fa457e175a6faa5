#include "talon/model/load.h"

#include "talon/checkpoint/read_config.h"

namespace talon {

LoadedVerifier LoadVerifier(Backend& backend, const std::filesystem::path& directory,
                            const ModelOptions& options) {
  LoadedVerifier loaded;
  loaded.directory = directory;
  loaded.store = std::make_unique<TensorStore>(TensorStore::Open(directory));
  const GemmaConfig config = ReadGemmaConfig(directory, *loaded.store);
  loaded.model = std::make_unique<GemmaModel>(backend, config, *loaded.store, options);
  return loaded;
}

LoadedDrafter LoadDrafter(const std::filesystem::path& directory, const ModelOptions& options,
                          const GemmaModel& verifier) {
  LoadedDrafter loaded;
  loaded.directory = directory;
  loaded.store = std::make_unique<TensorStore>(TensorStore::Open(directory));
  const Eagle3Config config = ReadEagle3Config(directory, *loaded.store);
  loaded.model = std::make_unique<Eagle3Drafter>(config, *loaded.store, options, verifier);
  return loaded;
}

}  // namespace talon

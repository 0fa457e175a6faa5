// Opens model folders: config, tensors and weights in one step.
#pragma once

#include <filesystem>
#include <memory>

#include "talon/model/eagle3.h"
#include "talon/model/gemma.h"

namespace talon {

struct LoadedVerifier {
  std::filesystem::path directory;
  std::unique_ptr<TensorStore> store;
  std::unique_ptr<GemmaModel> model;
};

struct LoadedDrafter {
  std::filesystem::path directory;
  std::unique_ptr<TensorStore> store;
  std::unique_ptr<Eagle3Drafter> model;
};

// `directory` as given by ResolveModel. Throws naming file and field when it is not a Gemma
// verifier.
LoadedVerifier LoadVerifier(Backend& backend, const std::filesystem::path& directory,
                            const ModelOptions& options);
// Throws likewise, and when drafter and verifier do not belong together.
LoadedDrafter LoadDrafter(const std::filesystem::path& directory, const ModelOptions& options,
                          const GemmaModel& verifier);

}  // namespace talon

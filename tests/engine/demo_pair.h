// The bundled pair on the CPU, opened, and random requests to it.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "talon/engine/request.h"
#include "talon/model/load.h"

namespace talon::test {

struct DemoPair {
  std::unique_ptr<Backend> backend;
  LoadedVerifier verifier;
  LoadedDrafter drafter;

  explicit DemoPair(int threads = 0);
};

// BOS and 20 to 169 random ids; top_k 64, top_p 0.95.
GenerationRequest RandomRequest(uint32_t seed, double temperature, int64_t max_tokens);

}  // namespace talon::test

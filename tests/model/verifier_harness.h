// Runs token sequences through a verifier in any chunking and returns logits of every position.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include "talon/engine/batch_builder.h"
#include "talon/engine/kv_pool.h"
#include "talon/model/load.h"

namespace talon::test {

using TokenLists = std::vector<std::vector<int32_t>>;
using FloatLists = std::vector<std::vector<float>>;

class VerifierHarness {
 public:
  VerifierHarness(const std::filesystem::path& directory, DType dtype, int num_threads = 0,
                  LinearNumerics numerics = LinearNumerics::kWeightOnly);

  struct Chunk {
    size_t sequence = 0;
    int64_t num_tokens = 0;
  };
  // One forward pass per step, each a list of chunks (sequences continue where they stopped).
  using Plan = std::vector<std::vector<Chunk>>;

  // Logits [positions, vocab] of each sequence. KV slots hold NaN until written.
  FloatLists Run(const TokenLists& sequences, const Plan& plan);
  // One pass over everything, collecting every residual stream state and the final norm's output.
  FloatLists RunWhole(const TokenLists& sequences, FloatLists* hidden_states);

  // Called on the pages of every sequence before each forward pass: lets a test plant a mutant.
  std::function<void(std::vector<SequencePages>&)> corrupt_pages;

  const GemmaModel& model() const { return *verifier_.model; }
  Backend& backend() { return *backend_; }

 private:
  KvPool MakePoisonedPool(const TokenLists& sequences);
  std::vector<float> Read(const Tensor& tensor, Arena& arena);
  FloatLists Split(const std::vector<float>& logits, const std::vector<int64_t>& rows) const;

  std::unique_ptr<Backend> backend_;
  LoadedVerifier verifier_;
};

}  // namespace talon::test

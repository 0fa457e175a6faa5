// The drafter's part of a round, batched over sequences: the first pass over rows with true
// verifier features, then k - 1 steps on the drafter's own states. Draft ids stay in backend memory
// until the end. Source: specs/eagle3.md 2.4, 2.5.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "talon/engine/kv_pool.h"
#include "talon/model/drafter.h"

namespace talon {

struct DraftInput {
  const SequencePages* pages = nullptr;  // must cover first_position + rows + num_drafts positions
  int64_t first_position = 0;
  // The token after each row: successors[i] is the token at first_position + i + 1.
  std::span<const int32_t> successors;
  int64_t num_drafts = 0;  // 0: only fill the drafter's KV
};

// Where drafting goes on from: a state at `position` of the sequence that owns `pages`.
struct DraftStart {
  const SequencePages* pages = nullptr;  // must cover position + num_drafts positions
  int64_t position = 0;
  int64_t num_drafts = 0;
};

// Told which step an observer sees next: 0 is the first pass, j the j-th self-fed step.
class StepListener {
 public:
  virtual ~StepListener() = default;
  virtual void BeginStep(int64_t step) = 0;
};

using DraftIds = std::vector<std::vector<int32_t>>;

class DraftRunner {
 public:
  DraftRunner(Backend& backend, const Drafter& drafter) : backend_(backend), drafter_(drafter) {}

  // `features`: the inputs' rows one after another, [sum of rows, feature_size]. Returns each
  // input's drafts as verifier ids.
  DraftIds Run(std::span<const DraftInput> inputs, const Tensor& features, KvLayer& cache,
               Arena& arena) const;

  // The first pass alone; returns the states of all rows, [rows, hidden], in `arena`.
  Tensor FirstPass(std::span<const DraftInput> inputs, const Tensor& features, KvLayer& cache,
                   Arena& arena) const;

  // Drafts from given states, one start each; step j >= 1 writes KV at position + j.
  DraftIds Continue(const Tensor& states /* [starts, hidden] */, std::span<const DraftStart> starts,
                    KvLayer& cache, Arena& arena) const;

  void SetStepListener(StepListener* listener) { listener_ = listener; }

 private:
  struct Chain;
  void Advance(Chain& chain, std::span<const DraftStart> starts, int64_t step, KvLayer& cache,
               Arena& arena) const;
  // ids[i] = verifier id of the best draft token after state i; backend memory.
  void Choose(const Tensor& states, int32_t* ids, Arena& arena) const;
  Tensor Gather(const Tensor& from, const int32_t* rows, int64_t count, Arena& arena) const;

  Backend& backend_;
  const Drafter& drafter_;
  StepListener* listener_ = nullptr;
};

}  // namespace talon

#include "talon/engine/draft_runner.h"

#include <algorithm>
#include <utility>

#include "talon/engine/batch_builder.h"

namespace talon {

// The chains still drafting: row r of `states` and entry r of `ids` belong to starts[active[r]].
struct DraftRunner::Chain {
  std::vector<size_t> active;
  Tensor states;           // [active, hidden]
  int32_t* ids = nullptr;  // [active] tokens drafted last, backend memory
};

Tensor DraftRunner::FirstPass(std::span<const DraftInput> inputs, const Tensor& features,
                              KvLayer& cache, Arena& arena) const {
  if (listener_ != nullptr) listener_->BeginStep(0);
  BatchBuilder builder;
  for (const DraftInput& input : inputs) {
    builder.Add(input.successors, input.first_position, *input.pages);
  }
  const ForwardBatch batch = builder.Upload(backend_, arena);
  return drafter_.Forward(batch, drafter_.Fuse(features, arena), cache, arena);
}

DraftIds DraftRunner::Run(std::span<const DraftInput> inputs, const Tensor& features,
                          KvLayer& cache, Arena& arena) const {
  const Tensor states = FirstPass(inputs, features, cache, arena);
  std::vector<int32_t> last_rows;
  std::vector<DraftStart> starts;
  int64_t end_row = 0;
  for (const DraftInput& input : inputs) {
    const auto rows = static_cast<int64_t>(input.successors.size());
    end_row += rows;
    if (input.num_drafts == 0) continue;
    last_rows.push_back(static_cast<int32_t>(end_row - 1));
    starts.push_back({input.pages, input.first_position + rows - 1, input.num_drafts});
  }
  DraftIds drafts(inputs.size());
  if (starts.empty()) return drafts;
  const int32_t* rows = UploadArray<int32_t>(backend_, arena, last_rows);
  const Tensor last = Gather(states, rows, static_cast<int64_t>(starts.size()), arena);
  DraftIds chosen = Continue(last, starts, cache, arena);
  size_t next = 0;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].num_drafts > 0) drafts[i] = std::move(chosen[next++]);
  }
  return drafts;
}

DraftIds DraftRunner::Continue(const Tensor& states, std::span<const DraftStart> starts,
                               KvLayer& cache, Arena& arena) const {
  int64_t steps = 0;
  for (const DraftStart& start : starts) steps = std::max(steps, start.num_drafts);
  DraftIds drafts(starts.size());
  if (steps == 0) return drafts;
  const size_t n = starts.size();
  int32_t* ids = arena.TakeArray<int32_t>(static_cast<int64_t>(n) * steps);
  std::vector<std::vector<size_t>> active_of_step;
  Chain chain;
  for (size_t i = 0; i < n; ++i) chain.active.push_back(i);
  chain.states = states;
  for (int64_t step = 0; step < steps; ++step) {
    Advance(chain, starts, step, cache, arena);
    chain.ids = ids + step * static_cast<int64_t>(n);
    Choose(chain.states, chain.ids, arena);
    active_of_step.push_back(chain.active);
  }
  std::vector<int32_t> host(n * static_cast<size_t>(steps));
  backend_.Download(ids, static_cast<int64_t>(host.size() * sizeof(int32_t)), host.data());
  for (size_t step = 0; step < active_of_step.size(); ++step) {
    const std::vector<size_t>& active = active_of_step[step];
    for (size_t row = 0; row < active.size(); ++row) {
      drafts[active[row]].push_back(host[step * n + row]);
    }
  }
  return drafts;
}

// Drops the chains that have all their drafts; from step 1 on, runs the drafter on its own states.
void DraftRunner::Advance(Chain& chain, std::span<const DraftStart> starts, int64_t step,
                          KvLayer& cache, Arena& arena) const {
  std::vector<int32_t> keep;
  std::vector<size_t> active;
  for (size_t row = 0; row < chain.active.size(); ++row) {
    if (starts[chain.active[row]].num_drafts <= step) continue;
    keep.push_back(static_cast<int32_t>(row));
    active.push_back(chain.active[row]);
  }
  const auto count = static_cast<int64_t>(keep.size());
  const auto before = static_cast<int64_t>(chain.active.size());
  const int32_t* tokens = chain.ids;
  if (count != before) {
    const int32_t* rows = UploadArray<int32_t>(backend_, arena, keep);
    chain.states = Gather(chain.states, rows, count, arena);
    if (step > 0) {
      const Tensor ids = {chain.ids, DType::kI32, before, 1, 1};
      tokens = static_cast<const int32_t*>(Gather(ids, rows, count, arena).data);
    }
  }
  chain.active = std::move(active);
  if (step == 0) return;
  if (listener_ != nullptr) listener_->BeginStep(step);
  BatchBuilder builder;
  const int32_t placeholder = 0;  // the tokens are in backend memory already
  for (const size_t i : chain.active) {
    builder.Add({&placeholder, 1}, starts[i].position + step, *starts[i].pages);
  }
  ForwardBatch batch = builder.Upload(backend_, arena);
  batch.token_ids = tokens;
  chain.states = drafter_.Forward(batch, chain.states, cache, arena);
}

void DraftRunner::Choose(const Tensor& states, int32_t* ids, Arena& arena) const {
  const Arena::Scope scope(arena);
  const Tensor logits = arena.Take(states.rows, drafter_.draft_vocab_size(), DType::kF32);
  drafter_.Logits(states, logits, arena);
  backend_.Argmax(logits, ids);
  backend_.MapDraftIds(drafter_.draft_id_offsets(), states.rows, ids);
}

Tensor DraftRunner::Gather(const Tensor& from, const int32_t* rows, int64_t count,
                           Arena& arena) const {
  const Tensor to = arena.Take(count, from.cols, from.dtype);
  backend_.GatherRows(from, rows, to);
  return to;
}

}  // namespace talon

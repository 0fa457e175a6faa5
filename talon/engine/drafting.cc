// The drafter's part of a round. The drafter reads the true features of every committed row, which
// also overwrites what it wrote from its own states while drafting; then it drafts for the
// sequences that decode next, as many tokens as the policy says. Where it says none, reading can
// wait. Source: specs/eagle3.md 2.4.
#include <algorithm>
#include <chrono>
#include <utility>

#include "talon/engine/draft_policy.h"
#include "talon/engine/sequence.h"

namespace talon {

// What the drafter does after a step, one entry per sequence it reads rows of.
struct Engine::DrafterWork {
  std::vector<const StepItem*> items;
  std::vector<DraftInput> inputs;
  std::vector<std::vector<int32_t>> successors;
  std::vector<int64_t> drafts;
  int64_t rows = 0;
};

int64_t Engine::DraftsFor(const Sequence& sequence) const {
  if (sequence.drafter_is_left) return 0;
  // The row of draft t sits at position num_computed + t, which must exist in both models.
  const int64_t limit = std::min(options_.max_model_len, drafter_->max_position_embeddings());
  return std::clamp<int64_t>(limit - 1 - sequence.num_computed, 0,
                             sequence.request.num_speculative_tokens);
}

// Drafts of each of the step's items, 0 for those that do not decode next.
std::vector<int64_t> Engine::PlanDrafts(const Step_& step) {
  std::vector<DraftCandidate> candidates;
  std::vector<size_t> candidate_items;
  for (size_t i = 0; i < step.items.size(); ++i) {
    const Sequence& sequence = *step.items[i].sequence;
    if (!step.items[i].samples || sequence.finished()) continue;
    candidates.push_back(
        {sequence.id, DraftsFor(sequence), sequence.num_computed - sequence.num_drafted});
    candidate_items.push_back(i);
  }
  int64_t prompt_rows = 0;
  for (const auto& sequence : running_) {
    if (!sequence->finished() && !sequence->decoding()) prompt_rows += sequence->num_pending();
  }
  const std::vector<int64_t> plan =
      draft_policy_->Plan(candidates, std::min(prompt_rows, options_.max_num_batched_tokens));
  std::vector<int64_t> drafts(step.items.size(), 0);
  for (size_t i = 0; i < plan.size(); ++i) {
    const bool always = step.items[candidate_items[i]].sequence->request.always_draft;
    drafts[candidate_items[i]] = always ? candidates[i].most : plan[i];
  }
  return drafts;
}

// For an item without drafts: true when the drafter need not read its new rows now. Their features
// are kept; or, when there are too many and reading them does not pay, the drafter is left behind.
bool Engine::Defer(const Step_& step, const StepItem& item) {
  if (!deferred_ || !item.samples) return false;
  Sequence& sequence = *item.sequence;
  if (sequence.drafter_is_left) return true;
  const Tensor rows = step.features.Rows(item.first_row, item.committed_rows);
  if (deferred_->Append(sequence.deferred, rows)) return true;
  if (draft_policy_->WorthKeepingUp(sequence.deferred.rows, std::ssize(running_))) return false;
  deferred_->Clear(sequence.deferred);
  sequence.drafter_is_left = true;
  return true;
}

Engine::DrafterWork Engine::CollectWork(Step_& step, std::span<const int64_t> drafts) {
  DrafterWork work;
  work.successors.reserve(step.items.size());
  for (size_t i = 0; i < step.items.size(); ++i) {
    const StepItem& item = step.items[i];
    Sequence& sequence = *item.sequence;
    sequence.drafts.clear();
    if (sequence.finished() || (drafts[i] == 0 && Defer(step, item))) continue;
    if (options_.fault == EngineFault::kForgetDeferred && sequence.deferred.rows > 0) {
      sequence.num_drafted += sequence.deferred.rows;
      deferred_->Clear(sequence.deferred);
    }
    DraftInput input;
    input.first_position = sequence.num_drafted;
    input.num_drafts = drafts[i];
    input.pages = &sequence.pages;
    const auto tokens = sequence.tokens.begin() + 1;
    work.successors.emplace_back(tokens + sequence.num_drafted, tokens + sequence.num_computed);
    input.successors = work.successors.back();
    work.rows += std::ssize(work.successors.back());
    work.items.push_back(&item);
    work.inputs.push_back(input);
    work.drafts.push_back(drafts[i]);
    sequence.num_drafted = sequence.num_computed;
  }
  return work;
}

// The features of the work's rows, one after another, [work.rows, feature size].
Tensor Engine::GatherFeatures(const Step_& step, const DrafterWork& work) {
  const Tensor features = arena_.Take(work.rows, step.features.cols, step.features.dtype);
  const bool any_deferred =
      std::any_of(work.items.begin(), work.items.end(),
                  [](const StepItem* item) { return item->sequence->deferred.rows > 0; });
  if (!any_deferred) {
    std::vector<int32_t> rows;
    for (const StepItem* item : work.items) {
      for (int64_t row = 0; row < item->committed_rows; ++row) {
        rows.push_back(static_cast<int32_t>(item->first_row + row));
      }
    }
    backend_.GatherRows(step.features, UploadArray<int32_t>(backend_, arena_, rows), features);
    return features;
  }
  int64_t next = 0;
  const auto append = [&](const Tensor& rows) {
    backend_.Copy(rows, features.Rows(next, rows.rows));
    next += rows.rows;
  };
  for (const StepItem* item : work.items) {
    DeferredRows& deferred = item->sequence->deferred;
    if (deferred.rows > 0) append(deferred_->Rows(deferred));
    deferred_->Clear(deferred);
    append(step.features.Rows(item->first_row, item->committed_rows));
  }
  return features;
}

void Engine::Draft(Step_& step) {
  const auto start = std::chrono::steady_clock::now();
  const DrafterWork work = CollectWork(step, PlanDrafts(step));
  if (work.inputs.empty()) return;
  const Tensor features = GatherFeatures(step, work);
  DraftIds drafts = draft_runner_->Run(work.inputs, features, pool_->drafter_layer(), arena_);
  for (size_t i = 0; i < work.items.size(); ++i) {
    work.items[i]->sequence->drafts = std::move(drafts[i]);
  }
  if (step.decodes_only()) {
    const std::chrono::duration<double, std::milli> ms = std::chrono::steady_clock::now() - start;
    draft_policy_->CountDraftTime(work.rows, work.drafts, ms.count());
  }
}

}  // namespace talon

// The engine: verifier and drafter over paged KV for many requests at once. Each step packs
// decoding sequences (1 + k rows each) and then prefill chunks up to a token budget into one
// verifier forward, chooses tokens, verifies drafts, and lets the drafter prepare the next round.
// Output is the same whatever the batch, the chunking and the drafts (docs/numerics.md).
// Single-threaded: one caller.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "talon/engine/draft_runner.h"
#include "talon/engine/engine_options.h"
#include "talon/engine/kv_plan.h"
#include "talon/engine/kv_pool.h"
#include "talon/engine/request.h"

namespace talon {

class DeferredFeatures;
class DraftPolicy;
class PrefixCache;

// Sums over the engine's life.
struct EngineCounters {
  int64_t prefix_cache_queries = 0;  // prompt tokens of admitted requests
  int64_t prefix_cache_hits = 0;     // of these, found in the prefix cache
  int64_t preemptions = 0;
};

// Called with the captured features of committed positions, in order, for every request:
// rows [first_position, first_position + features.rows) of that request; backend memory.
using FeatureSink =
    std::function<void(int64_t request_id, int64_t first_position, const Tensor& features)>;

struct ChoiceRow;
struct Choices;

class Engine {
 public:
  // `drafter` may be null. Throws kInvalidArgument for options that do not fit the models,
  // kResourceExhausted when kv_cache_bytes does not hold one request of max_model_len.
  Engine(const GemmaModel& verifier, const Drafter* drafter, const EngineOptions& options);
  ~Engine();

  // Queues a request and returns its id. Throws kInvalidArgument when it can never run: empty
  // prompt, ids outside the vocabulary, a prompt that leaves no room in the context, or more
  // positions than the KV cache holds.
  int64_t Submit(GenerationRequest request);
  // Ends a request, queued or running; no further output comes.
  void Cancel(int64_t request_id);
  bool idle() const { return waiting_.empty() && running_.empty(); }
  // Requests that were not admitted yet, and those that were.
  int64_t num_waiting() const { return static_cast<int64_t>(waiting_.size()); }
  int64_t num_running() const { return static_cast<int64_t>(running_.size()); }
  // Runs one step; returns what each request that advanced gained.
  std::vector<StepOutput> Step();

  // Runs requests to their end and returns the results in request order.
  std::vector<GenerationResult> Generate(
      std::vector<GenerationRequest> requests,
      const std::function<void(const StepOutput&)>& on_output = nullptr);

  void SetFeatureSink(FeatureSink sink) { feature_sink_ = std::move(sink); }
  const EngineOptions& options() const { return options_; }
  const KvPool& kv_pool() const { return *pool_; }
  const KvPlan& kv_plan() const { return plan_; }
  const EngineCounters& counters() const { return counters_; }
  // Requests that the last step admitted for the first time.
  const std::vector<int64_t>& newly_admitted() const { return newly_admitted_; }
  // What steps have taken so far for activations.
  int64_t scratch_bytes() const { return arena_.capacity_bytes(); }

 private:
  struct Sequence;
  struct Step_;
  struct StepItem;

  void SetUpDrafting();

  // scheduler.cc
  void CheckFits(const GenerationRequest& request) const;
  int64_t MaxPositions(const GenerationRequest& request) const;
  void Admit();
  bool TakePromptPages(Sequence& sequence);
  void Schedule(Step_& step);
  void PlanRows();
  void SecurePages();
  void AddRows(Step_& step, Sequence& sequence);
  void PreemptLatest();
  void GiveUpMemory(Sequence& sequence);
  void Retire();

  // round.cc
  void RunVerifier(Step_& step);
  void ChooseTokens(Step_& step);
  std::vector<StepOutput> Commit(Step_& step);
  static void AddPromptLogprobs(StepItem& item, std::vector<ChoiceRow>& rows);
  static void CommitTokens(StepItem& item, Choices& choices, StepOutput& output);
  int64_t DraftsFor(const Sequence& sequence) const;

  // drafting.cc
  void Draft(Step_& step);
  std::vector<int64_t> PlanDrafts(const Step_& step);
  bool Defer(const Step_& step, const StepItem& item);
  struct DrafterWork;
  DrafterWork CollectWork(Step_& step, std::span<const int64_t> drafts);
  Tensor GatherFeatures(const Step_& step, const DrafterWork& work);
  void EmitFeatures(const Step_& step);
  void FinishRows(const Step_& step);

  const GemmaModel& verifier_;
  const Drafter* drafter_;
  Backend& backend_;
  EngineOptions options_;
  KvPlan plan_;
  std::vector<int64_t> aux_layer_ids_;
  std::unique_ptr<KvPool> pool_;
  std::unique_ptr<PrefixCache> prefix_cache_;  // null: off
  std::unique_ptr<DraftRunner> draft_runner_;
  std::unique_ptr<DraftPolicy> draft_policy_;
  std::unique_ptr<DeferredFeatures> deferred_;  // null: the drafter reads every row at once
  Arena arena_;
  std::deque<std::unique_ptr<Sequence>> waiting_;
  std::vector<std::unique_ptr<Sequence>> running_;
  int64_t next_request_id_ = 0;
  std::vector<int64_t> newly_admitted_;
  EngineCounters counters_;
  FeatureSink feature_sink_;
};

}  // namespace talon

#include "talon/engine/engine.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

#include "talon/base/error.h"
#include "talon/engine/draft_policy.h"
#include "talon/engine/sequence.h"

namespace talon {

std::string_view Name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kNone:
      return "none";
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
  }
  return "?";
}

Engine::Engine(const GemmaModel& verifier, const Drafter* drafter, const EngineOptions& options)
    : verifier_(verifier),
      drafter_(drafter),
      backend_(verifier.backend()),
      options_(ResolveEngineOptions(verifier.config(), drafter, options)),
      plan_(PlanKv(verifier.config(), drafter, options_)),
      arena_(verifier.backend()) {
  if (drafter != nullptr) {
    aux_layer_ids_.assign(drafter->aux_layer_ids().begin(), drafter->aux_layer_ids().end());
    draft_runner_ = std::make_unique<DraftRunner>(backend_, *drafter);
  } else {
    aux_layer_ids_ = options_.capture_layer_ids;
  }
  const KvPoolOptions pool = {plan_.pages.sliding, plan_.pages.global, options_.kv_dtype,
                              options_.drafter_kv_dtype.value_or(options_.kv_dtype),
                              options_.poison_dead_pages};
  pool_ = std::make_unique<KvPool>(verifier, drafter, pool);
  SetUpDrafting();
  if (options_.enable_prefix_caching) {
    prefix_cache_ = std::make_unique<PrefixCache>(*pool_, verifier.config().sliding_window,
                                                  drafter != nullptr, options_.fault);
  }
}

Engine::~Engine() = default;

void Engine::SetUpDrafting() {
  DraftPolicyOptions policy;
  policy.max_drafts = options_.num_speculative_tokens;
  policy.by_batch_size = options_.drafts_by_batch_size;
  policy.automatic = options_.auto_drafts && drafter_ != nullptr;
  if (policy.automatic) {
    policy.costs = options_.step_costs
                       ? *options_.step_costs
                       : MeasureStepCosts(verifier_, *drafter_, *pool_, options_.max_num_seqs,
                                          options_.num_speculative_tokens);
  }
  const std::vector<int64_t>& table = options_.drafts_by_batch_size;
  if (policy.automatic || std::find(table.begin(), table.end(), 0) != table.end()) {
    const int64_t places = options_.max_num_seqs;
    const int64_t columns = drafter_->feature_size();
    const DType dtype = verifier_.options().dtype;
    deferred_ = std::make_unique<DeferredFeatures>(
        backend_, places, DeferredFeatures::RowsPerPlace(places, columns * SizeOf(dtype)), columns,
        dtype);
  }
  draft_policy_ = std::make_unique<DraftPolicy>(std::move(policy));
}

int64_t Engine::Submit(GenerationRequest request) {
  const auto prompt_size = static_cast<int64_t>(request.prompt_ids.size());
  if (prompt_size == 0) Throw(ErrorCode::kInvalidArgument, "the prompt is empty");
  if (prompt_size >= options_.max_model_len) {
    Throw(ErrorCode::kInvalidArgument,
          "the prompt has {} tokens and leaves no room in a context of {} tokens", prompt_size,
          options_.max_model_len);
  }
  for (const int32_t id : request.prompt_ids) {
    if (id < 0 || id >= verifier_.config().vocab_size) {
      Throw(ErrorCode::kInvalidArgument, "token id {} is outside the vocabulary of {} tokens", id,
            verifier_.config().vocab_size);
    }
  }
  if (request.max_tokens < 1) {
    Throw(ErrorCode::kInvalidArgument, "max_tokens is {}, expected at least 1", request.max_tokens);
  }
  request.max_tokens = std::min(request.max_tokens, options_.max_model_len - prompt_size);
  if (request.num_speculative_tokens < 0 || drafter_ == nullptr) {
    request.num_speculative_tokens = options_.num_speculative_tokens;
  }
  request.num_speculative_tokens =
      std::min(request.num_speculative_tokens, options_.num_speculative_tokens);
  CheckFits(request);
  auto sequence = std::make_unique<Sequence>();
  sequence->id = next_request_id_++;
  sequence->tokens = request.prompt_ids;
  sequence->history = TokenHistory::For(request);
  sequence->request = std::move(request);
  waiting_.push_back(std::move(sequence));
  return waiting_.back()->id;
}

void Engine::Cancel(int64_t request_id) {
  std::erase_if(waiting_, [&](const auto& sequence) { return sequence->id == request_id; });
  draft_policy_->Forget(request_id);
  for (const auto& sequence : running_) {
    if (sequence->id == request_id) sequence->finish_reason = FinishReason::kStop;
  }
  Retire();
}

bool Engine::Step_::decodes_only() const {
  return std::all_of(items.begin(), items.end(), [](const StepItem& item) {
    return item.samples && item.num_rows == item.num_choices;
  });
}

std::vector<StepOutput> Engine::Step() {
  Admit();
  arena_.Reset();
  Step_ step;
  Schedule(step);
  if (step.items.empty()) return {};
  const auto start = std::chrono::steady_clock::now();
  RunVerifier(step);
  ChooseTokens(step);
  if (step.decodes_only()) {
    const std::chrono::duration<double, std::milli> ms = std::chrono::steady_clock::now() - start;
    draft_policy_->CountVerifyTime(step.builder.num_rows(), ms.count());
  }
  std::vector<StepOutput> outputs = Commit(step);
  EmitFeatures(step);
  if (drafter_ != nullptr) Draft(step);
  FinishRows(step);
  Retire();
  return outputs;
}

std::vector<GenerationResult> Engine::Generate(
    std::vector<GenerationRequest> requests,
    const std::function<void(const StepOutput&)>& on_output) {
  const int64_t first_id = next_request_id_;
  std::vector<GenerationResult> results(requests.size());
  for (GenerationRequest& request : requests) Submit(std::move(request));
  while (!idle()) {
    for (StepOutput& output : Step()) {
      if (on_output) on_output(output);
      GenerationResult& result = results[static_cast<size_t>(output.request_id - first_id)];
      result.tokens.insert(result.tokens.end(), output.tokens.begin(), output.tokens.end());
      std::move(output.logprobs.begin(), output.logprobs.end(),
                std::back_inserter(result.logprobs));
      if (!output.prompt_logprobs.empty()) {
        result.prompt_logprobs = std::move(output.prompt_logprobs);
      }
      if (output.has_round) result.rounds.push_back(std::move(output.round));
      result.finish_reason = output.finish_reason;
      result.num_cached_tokens = output.num_cached_tokens;
    }
  }
  return results;
}

}  // namespace talon

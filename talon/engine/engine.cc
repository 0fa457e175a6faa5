#include "talon/engine/engine.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "talon/base/error.h"
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

namespace {

// Positions sliding layers hold for one sequence: the window, a chunk being prefilled, and the
// drafts that may be rolled back.
int64_t SlidingPositions(const GemmaConfig& config, const EngineOptions& options) {
  return config.sliding_window +
         std::max(options.max_num_batched_tokens, options.num_speculative_tokens + 1);
}

KvPoolOptions PoolOptions(const GemmaConfig& config, const EngineOptions& options) {
  const int64_t total = options.kv_cache_tokens > 0 ? options.kv_cache_tokens
                                                    : options.max_num_seqs * options.max_model_len;
  KvPoolOptions pool;
  pool.global_pages = KvPool::PagesFor(total);
  const int64_t per_sequence =
      KvPool::SlidingPagesFor(options.max_model_len, SlidingPositions(config, options));
  pool.sliding_pages = std::min(pool.global_pages, options.max_num_seqs * per_sequence);
  pool.verifier_dtype = options.kv_dtype;
  pool.drafter_dtype = options.kv_dtype;
  return pool;
}

}  // namespace

Engine::Engine(const GemmaModel& verifier, const Drafter* drafter, const EngineOptions& options)
    : verifier_(verifier),
      drafter_(drafter),
      backend_(verifier.backend()),
      options_(options),
      arena_(verifier.backend()) {
  const GemmaConfig& config = verifier.config();
  if (options_.max_model_len == 0) options_.max_model_len = config.max_position_embeddings;
  if (options_.max_model_len > config.max_position_embeddings) {
    Throw(ErrorCode::kInvalidArgument, "max_model_len {} exceeds the verifier's {} positions",
          options_.max_model_len, config.max_position_embeddings);
  }
  if (options_.num_speculative_tokens > 0 && drafter == nullptr) {
    Throw(ErrorCode::kInvalidArgument, "num_speculative_tokens is {}, but there is no drafter",
          options_.num_speculative_tokens);
  }
  options_.max_num_batched_tokens =
      std::max(options_.max_num_batched_tokens,
               options_.max_num_seqs * (1 + options_.num_speculative_tokens));
  if (drafter != nullptr) {
    aux_layer_ids_.assign(drafter->aux_layer_ids().begin(), drafter->aux_layer_ids().end());
    draft_runner_ = std::make_unique<DraftRunner>(backend_, *drafter);
  } else {
    aux_layer_ids_ = options_.capture_layer_ids;
  }
  pool_ = std::make_unique<KvPool>(verifier, drafter, PoolOptions(config, options_));
}

Engine::~Engine() = default;

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
  for (const auto& sequence : running_) {
    if (sequence->id == request_id) sequence->finish_reason = FinishReason::kStop;
  }
  Retire();
}

// Admits waiting requests in order while both page families have room for their whole length.
void Engine::Admit() {
  while (!waiting_.empty() && static_cast<int64_t>(running_.size()) < options_.max_num_seqs) {
    Sequence& sequence = *waiting_.front();
    const int64_t length = std::min(sequence.prompt_size() + sequence.request.max_tokens +
                                        sequence.request.num_speculative_tokens,
                                    options_.max_model_len);
    if (!pool_->Reserve(sequence.pages, length, SlidingPositions(verifier_.config(), options_))) {
      if (running_.empty()) {
        Throw(ErrorCode::kResourceExhausted,
              "a request of {} positions does not fit the KV cache of {} positions", length,
              pool_->global().num_pages() * kKvPageTokens);
      }
      return;
    }
    running_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
}

// Decoding sequences first, each with its drafts; then prefill chunks while the token budget lasts.
void Engine::Schedule(Step_& step) {
  int64_t budget = options_.max_num_batched_tokens;
  const auto add = [&](Sequence& sequence, std::vector<int32_t> rows, bool samples) {
    const auto count = static_cast<int64_t>(rows.size());
    pool_->Extend(sequence.pages, sequence.num_computed + count);
    Step_::Item item;
    item.sequence = &sequence;
    item.first_row = step.builder.num_rows();
    item.num_rows = count;
    item.samples = samples;
    step.builder.Add(rows, sequence.num_computed, sequence.pages);
    step.items.push_back(item);
    budget -= count;
  };
  for (const auto& sequence : running_) {
    if (sequence->prefilling()) continue;
    std::vector<int32_t> rows = {sequence->tokens.back()};
    rows.insert(rows.end(), sequence->drafts.begin(), sequence->drafts.end());
    add(*sequence, std::move(rows), /*samples=*/true);
  }
  for (const auto& sequence : running_) {
    if (!sequence->prefilling() || budget <= 0) continue;
    const int64_t count = std::min(budget, sequence->prompt_size() - sequence->num_computed);
    const auto begin = sequence->tokens.begin() + sequence->num_computed;
    const bool last = sequence->num_computed + count == sequence->prompt_size();
    add(*sequence, std::vector<int32_t>(begin, begin + count), last);
  }
}

void Engine::Retire() {
  for (const auto& sequence : running_) {
    if (sequence->finished()) pool_->Release(sequence->pages);
  }
  std::erase_if(running_, [](const auto& sequence) { return sequence->finished(); });
}

std::vector<StepOutput> Engine::Step() {
  Admit();
  arena_.Reset();
  Step_ step;
  Schedule(step);
  if (step.items.empty()) return {};
  RunVerifier(step);
  ChooseTokens(step);
  std::vector<StepOutput> outputs = Commit(step);
  EmitFeatures(step);
  if (drafter_ != nullptr) Draft(step);
  for (const Step_::Item& item : step.items) {
    Sequence& sequence = *item.sequence;
    pool_->ReleaseBefore(sequence.pages,
                         sequence.num_computed - verifier_.config().sliding_window + 1);
  }
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
    }
  }
  return results;
}

}  // namespace talon

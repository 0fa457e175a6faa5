// Which requests run, and which rows of them a step holds. Requests are admitted in order, when
// both page families have room for the tokens they bring; answers then grow page by page. When
// pages run out, the request admitted last gives up all of its pages and waits at the front of the
// queue; later it computes its tokens' KV again, mostly from the prefix cache, and goes on.
#include <algorithm>
#include <utility>

#include "talon/base/error.h"
#include "talon/engine/draft_policy.h"
#include "talon/engine/sequence.h"

namespace talon {

// The most positions that the request ever needs pages for.
int64_t Engine::MaxPositions(const GenerationRequest& request) const {
  return std::min(static_cast<int64_t>(request.prompt_ids.size()) + request.max_tokens +
                      request.num_speculative_tokens,
                  options_.max_model_len);
}

// One request alone must fit; that is what lets the oldest one always go on.
void Engine::CheckFits(const GenerationRequest& request) const {
  const int64_t positions = MaxPositions(request);
  const int64_t global = KvPool::PagesFor(positions);
  const int64_t sliding =
      KvPool::SlidingPagesFor(positions, MaxSlidingPositions(verifier_.config(), options_));
  if (global <= plan_.pages.global && sliding <= plan_.pages.sliding) return;
  Throw(ErrorCode::kInvalidArgument,
        "the request needs KV cache for {} positions ({} pages of {} tokens in full layers, {} in "
        "sliding layers); the cache has {} and {}: shorten the prompt or lower max_tokens",
        positions, global, kKvPageTokens, sliding, plan_.pages.global, plan_.pages.sliding);
}

void Engine::Admit() {
  newly_admitted_.clear();
  while (!waiting_.empty() && static_cast<int64_t>(running_.size()) < options_.max_num_seqs) {
    Sequence& sequence = *waiting_.front();
    if (!TakePromptPages(sequence)) return;
    if (sequence.num_cached < 0) {
      sequence.num_cached = sequence.num_computed;
      newly_admitted_.push_back(sequence.id);
      counters_.prefix_cache_queries += prefix_cache_ ? sequence.num_tokens() : 0;
      counters_.prefix_cache_hits += sequence.num_computed;
    }
    running_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
}

// Shares what the prefix cache has of the sequence's tokens, and takes pages of the global family
// for the rest. Sliding pages, which come and go, only have to be free. False, and nothing taken,
// when pages are lacking or those running would not have one page each to grow.
bool Engine::TakePromptPages(Sequence& sequence) {
  // The sink needs the features of every position, prompt log-probabilities the logits.
  const bool prompt_logprobs = sequence.request.sampling.num_prompt_logprobs >= 0 &&
                               sequence.num_prompt_logprobs + 1 < sequence.prompt_size();
  if (prefix_cache_ && !feature_sink_ && !prompt_logprobs) {
    sequence.num_computed = prefix_cache_->Attach(sequence.tokens, sequence.prefix, sequence.pages);
    sequence.num_drafted = sequence.num_computed;
  }
  const auto reserve = static_cast<int64_t>(running_.size());
  const auto held = [](const std::vector<int32_t>& pages) {
    return std::count_if(pages.begin(), pages.end(), [](int32_t page) { return page >= 0; });
  };
  const int64_t tokens = sequence.num_tokens();
  const int64_t sliding =
      KvPool::SlidingPagesFor(tokens, MaxSlidingPositions(verifier_.config(), options_)) -
      held(sequence.pages.sliding);
  const int64_t global = KvPool::PagesFor(tokens) - held(sequence.pages.global);
  if (sliding + reserve <= pool_->sliding().free_pages() &&
      global + reserve <= pool_->global().free_pages()) {
    return pool_->Extend(sequence.pages, 0, tokens);
  }
  pool_->Release(sequence.pages);
  sequence.num_computed = sequence.num_drafted = 0;
  return false;
}

void Engine::Schedule(Step_& step) {
  PlanRows();
  SecurePages();
  for (const auto& sequence : running_) {
    if (sequence->scheduled_rows > 0) AddRows(step, *sequence);
  }
}

// Decoding sequences bring their last token and their drafts; then chunks of the others' tokens
// while the budget lasts, the oldest request first. Without chunks, all of a request's tokens or
// none of them and of those after it.
void Engine::PlanRows() {
  int64_t budget = options_.max_num_batched_tokens;
  for (const auto& sequence : running_) {
    sequence->scheduled_rows =
        sequence->decoding() ? 1 + static_cast<int64_t>(sequence->drafts.size()) : 0;
    budget -= sequence->scheduled_rows;
  }
  for (const auto& sequence : running_) {
    if (sequence->decoding()) continue;
    if (!options_.enable_chunked_prefill && sequence->num_pending() > budget) break;
    sequence->scheduled_rows = std::min(budget, sequence->num_pending());
    budget -= sequence->scheduled_rows;
  }
}

// Pages for the planned rows, and for the drafts that follow them.
void Engine::SecurePages() {
  for (size_t i = 0; i < running_.size(); ++i) {
    Sequence& sequence = *running_[i];
    if (sequence.scheduled_rows == 0) continue;
    const int64_t end = sequence.num_computed + sequence.scheduled_rows;
    const int64_t drafts_end =
        std::min(end + sequence.request.num_speculative_tokens, MaxPositions(sequence.request));
    bool preempted = false;
    while (!preempted && !pool_->Extend(sequence.pages, end, std::max(end, drafts_end))) {
      CheckInternal(running_.size() > 1, "a request that was submitted fits the KV cache alone");
      preempted = i + 1 == running_.size();
      PreemptLatest();
    }
  }
}

void Engine::PreemptLatest() {
  std::unique_ptr<Sequence> sequence = std::move(running_.back());
  running_.pop_back();
  GiveUpMemory(*sequence);
  sequence->drafts.clear();
  sequence->num_computed = sequence->num_drafted = 0;
  sequence->drafter_is_left = false;
  ++counters_.preemptions;
  waiting_.push_front(std::move(sequence));
}

void Engine::GiveUpMemory(Sequence& sequence) {
  pool_->Release(sequence.pages);
  if (deferred_) deferred_->Clear(sequence.deferred);
}

void Engine::AddRows(Step_& step, Sequence& sequence) {
  const int64_t begin = sequence.num_computed;
  const int64_t end = begin + sequence.scheduled_rows;
  for (int64_t page = begin / kKvPageTokens; page * kKvPageTokens < end; ++page) {
    const auto index = static_cast<size_t>(page);
    CheckInternal(pool_->global().writable(sequence.pages.global[index]) &&
                      pool_->sliding().writable(sequence.pages.sliding[index]),
                  "rows are written to pages that nobody shares");
  }
  std::vector<int32_t> rows(sequence.tokens.begin() + begin,
                            sequence.tokens.begin() + std::min(end, sequence.num_tokens()));
  Step_::Item item;
  item.sequence = &sequence;
  item.first_row = step.builder.num_rows();
  item.num_rows = sequence.scheduled_rows;
  item.samples = end >= sequence.num_tokens();
  if (item.samples) {
    rows.insert(rows.end(), sequence.drafts.begin(), sequence.drafts.end());
    item.num_choices = 1 + static_cast<int64_t>(sequence.drafts.size());
  }
  step.builder.Add(rows, begin, sequence.pages);
  step.items.push_back(item);
}

void Engine::Retire() {
  for (const auto& sequence : running_) {
    if (!sequence->finished()) continue;
    GiveUpMemory(*sequence);
    draft_policy_->Forget(sequence->id);
  }
  std::erase_if(running_, [](const auto& sequence) { return sequence->finished(); });
}

}  // namespace talon

// One round of the engine: verifier forward, choice of tokens, commitment.
// Source: specs/eagle3.md 2.4, 3.
#include <algorithm>
#include <iterator>
#include <utility>

#include "talon/engine/acceptance_rule.h"
#include "talon/engine/draft_policy.h"
#include "talon/engine/sequence.h"

namespace talon {
namespace {

SamplingRow RowSampling(const SamplingParams& params, int64_t position) {
  SamplingRow row;
  row.temperature = static_cast<float>(params.temperature);
  row.top_k = static_cast<int32_t>(params.top_k);
  row.top_p = static_cast<float>(params.top_p);
  row.min_p = static_cast<float>(params.min_p);
  row.seed = params.seed;
  row.position = position;
  return row;
}

}  // namespace

void Engine::RunVerifier(Step_& step) {
  const ForwardBatch batch = step.builder.Upload(backend_, arena_);
  VerifierCapture capture;
  if (!aux_layer_ids_.empty()) {
    const auto columns =
        static_cast<int64_t>(aux_layer_ids_.size()) * verifier_.config().hidden_size;
    step.features = arena_.Take(batch.rows.num_rows, columns, verifier_.options().dtype);
    capture.aux_layer_ids = aux_layer_ids_;
    capture.aux = step.features;
  }
  step.hidden = verifier_.Forward(batch, pool_->verifier_layers(), capture, arena_);
}

// Rows of a prompt chunk whose next token's log-probability is asked for and not known yet.
void Engine::AddPromptLogprobs(Step_::Item& item, std::vector<ChoiceRow>& rows) {
  Sequence& sequence = *item.sequence;
  const int64_t asked = sequence.request.sampling.num_prompt_logprobs;
  item.first_prompt_logprob = static_cast<int64_t>(rows.size());
  if (asked < 0) return;
  for (int64_t row = 0; row < item.num_rows; ++row) {
    const int64_t position = sequence.num_computed + row;
    if (position != sequence.num_prompt_logprobs || position + 1 >= sequence.prompt_size()) {
      continue;
    }
    ChoiceRow choice;
    choice.hidden_row = static_cast<int32_t>(item.first_row + row);
    choice.sampling.position = position + 1;
    choice.known_token = sequence.tokens[static_cast<size_t>(position) + 1];
    choice.num_logprobs = asked;
    rows.push_back(choice);
    ++item.num_prompt_logprobs;
    ++sequence.num_prompt_logprobs;
  }
}

// Chooses a token after the last committed token of every sequence and after each of its drafts.
void Engine::ChooseTokens(Step_& step) {
  std::vector<ChoiceRow> rows;
  std::vector<LogitAdjustment> adjustments;
  for (Step_::Item& item : step.items) {
    AddPromptLogprobs(item, rows);
    if (!item.samples) continue;
    const Sequence& sequence = *item.sequence;
    const SamplingParams& sampling = sequence.request.sampling;
    item.first_choice = static_cast<int64_t>(rows.size());
    for (int64_t i = 0; i < item.num_choices; ++i) {
      const int64_t row = item.num_rows - item.num_choices + i;
      if (sequence.history != nullptr) {
        const std::span drafts(sequence.drafts);
        sequence.history->Append(drafts.first(static_cast<size_t>(i)),
                                 static_cast<int32_t>(rows.size()), adjustments);
      }
      ChoiceRow choice;
      choice.hidden_row = static_cast<int32_t>(item.first_row + row);
      choice.sampling = RowSampling(sampling, sequence.num_computed + row + 1);
      choice.num_logprobs = sampling.num_logprobs;
      rows.push_back(choice);
    }
  }
  step.choices = TokenChooser(verifier_).Choose(step.hidden, rows, adjustments, arena_);
}

// Appends the chosen tokens up to the first that ends the answer.
void Engine::CommitTokens(Step_::Item& item, Choices& choices, StepOutput& output) {
  Sequence& sequence = *item.sequence;
  const std::vector<int32_t>& stops = sequence.request.stop_token_ids;
  for (int64_t i = 0; i <= item.accepted && !sequence.finished(); ++i) {
    const auto at = static_cast<size_t>(item.first_choice + i);
    const int32_t token = choices.tokens[at];
    sequence.tokens.push_back(token);
    output.tokens.push_back(token);
    if (sequence.history != nullptr) sequence.history->Commit(token);
    if (sequence.request.sampling.num_logprobs >= 0) {
      output.logprobs.push_back(std::move(choices.logprobs[at]));
    }
    if (std::find(stops.begin(), stops.end(), token) != stops.end()) {
      sequence.finish_reason = FinishReason::kStop;
    } else if (++sequence.num_generated >= sequence.request.max_tokens) {
      sequence.finish_reason = FinishReason::kLength;
    }
  }
  output.finish_reason = sequence.finish_reason;
}

// Accepts the leading drafts that equal the verifier's choices, appends the chosen tokens, applies
// stop conditions.
std::vector<StepOutput> Engine::Commit(Step_& step) {
  std::vector<StepOutput> outputs;
  for (Step_::Item& item : step.items) {
    Sequence& sequence = *item.sequence;
    item.committed_rows = item.num_rows;
    const auto logprobs = step.choices.logprobs.begin() + item.first_prompt_logprob;
    std::move(logprobs, logprobs + item.num_prompt_logprobs,
              std::back_inserter(sequence.prompt_logprobs));
    if (!item.samples) {
      sequence.num_computed += item.num_rows;
      continue;
    }
    StepOutput output;
    output.request_id = sequence.id;
    output.num_cached_tokens = sequence.num_cached;
    output.prompt_logprobs = std::exchange(sequence.prompt_logprobs, {});
    const std::vector<int32_t>& drafts = sequence.drafts;
    const std::span chosen(step.choices.tokens);
    item.accepted = CountAccepted(drafts, chosen.subspan(static_cast<size_t>(item.first_choice),
                                                         static_cast<size_t>(item.num_choices)));
    item.committed_rows = item.num_rows - static_cast<int64_t>(drafts.size()) + item.accepted;
    output.has_round = !drafts.empty();
    output.round = {drafts, item.accepted};
    draft_policy_->CountRound(sequence.id, std::ssize(drafts), item.accepted);
    sequence.num_computed += item.committed_rows;
    CommitTokens(item, step.choices, output);
    outputs.push_back(std::move(output));
  }
  return outputs;
}

void Engine::EmitFeatures(const Step_& step) {
  if (!feature_sink_ || aux_layer_ids_.empty()) return;
  for (const Step_::Item& item : step.items) {
    Sequence& sequence = *item.sequence;
    const int64_t first_position = sequence.num_computed - item.committed_rows;
    // After a preemption positions are computed again.
    const int64_t known = std::max<int64_t>(0, sequence.num_emitted - first_position);
    if (known >= item.committed_rows) continue;
    feature_sink_(sequence.id, first_position + known,
                  step.features.Rows(item.first_row + known, item.committed_rows - known));
    sequence.num_emitted = sequence.num_computed;
  }
}

// Publishes what became final and gives back the sliding pages that left the window.
void Engine::FinishRows(const Step_& step) {
  for (const Step_::Item& item : step.items) {
    Sequence& sequence = *item.sequence;
    if (prefix_cache_) {
      prefix_cache_->Publish(sequence.tokens, sequence.num_computed, sequence.num_drafted,
                             sequence.prefix, sequence.pages);
    }
    const int64_t first_needed =
        std::max<int64_t>(0, sequence.num_computed - verifier_.config().sliding_window + 1);
    pool_->ReleaseBefore(sequence.pages, first_needed);
    if (options_.fault == EngineFault::kReleaseInsideWindow) {
      const auto index = static_cast<size_t>(first_needed / kKvPageTokens);
      pool_->Poison(AttentionKind::kSliding, sequence.pages.sliding[index]);
    }
  }
}

}  // namespace talon

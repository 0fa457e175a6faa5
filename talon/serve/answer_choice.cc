#include "talon/serve/answer_choice.h"

#include <algorithm>
#include <utility>

namespace talon {
namespace {

// Whether the prompt ends inside a reasoning channel, so that the answer begins in it.
bool EndsInReasoning(const std::vector<int32_t>& prompt, const ReasoningMarkers& markers) {
  const auto last = std::find_if(prompt.rbegin(), prompt.rend(), [&](int32_t id) {
    return id == markers.open || id == markers.close;
  });
  return last != prompt.rend() && *last == markers.open;
}

AnswerTextOptions TextOptions(const GenerationSpec& spec, const ServedModel& model,
                              size_t sequence) {
  AnswerTextOptions options;
  options.stop = spec.stop;
  options.include_stop_str_in_output = spec.include_stop_str_in_output;
  options.min_tokens = spec.sampling.min_tokens;
  options.skip_special_tokens = spec.skip_special_tokens;
  if (spec.endpoint == Endpoint::kChat && model.reasoning) {
    options.reasoning = model.reasoning;
    options.starts_in_reasoning =
        EndsInReasoning(spec.prompts[sequence / static_cast<size_t>(spec.n)], *model.reasoning);
  }
  return options;
}

}  // namespace

AnswerChoice::AnswerChoice(const GenerationSpec& spec, const ServedModel& model, size_t sequence)
    : spec_(spec),
      index_(sequence),
      reader_(*model.tokenizer, TextOptions(spec, model, sequence)),
      log_(*model.tokenizer, spec.return_tokens_as_token_ids) {}

void AnswerChoice::Append(TextDelta text, Delta& delta) {
  if (!spec_.include_reasoning) text.reasoning.clear();
  text_.reasoning += text.reasoning;
  text_.content += text.content;
  delta.text.reasoning += text.reasoning;
  delta.text.content += text.content;
}

void AnswerChoice::AddToken(int32_t id, bool ends_answer, Delta& delta) {
  tokens_.push_back(id);
  delta.tokens.push_back(id);
  // The stop token belongs to the answer's tokens, not to its text.
  if (!ends_answer || spec_.include_stop_str_in_output) Append(reader_.Push(id), delta);
  if (reader_.stop_found()) {
    finish_reason_ = "stop";
    stop_reason_ = *reader_.stop_found();
    delta.stopped_by_string = true;
  }
}

void AnswerChoice::EndAs(FinishReason reason) {
  finish_reason_ = reason == FinishReason::kLength ? "length" : "stop";
  const auto& own = spec_.stop_token_ids;
  if (reader_.stop_found()) {  // in text that was held back
    finish_reason_ = "stop";
    stop_reason_ = *reader_.stop_found();
  } else if (reason == FinishReason::kStop && !tokens_.empty() &&
             std::find(own.begin(), own.end(), tokens_.back()) != own.end()) {
    stop_reason_ = tokens_.back();
  }
}

std::string AnswerChoice::Echo() const {
  return spec_.echo_texts.empty() ? "" : spec_.echo_texts[prompt_index()];
}

void AnswerChoice::AddPrompt(const SequenceProgress& progress, Delta& delta) {
  if (prompt_added_ || progress.tokens.empty()) return;
  prompt_added_ = true;
  delta.echo = Echo();
  if (spec_.sampling.num_prompt_logprobs < 0) return;
  const std::vector<int32_t>& prompt = spec_.prompts[prompt_index()];
  log_.Add(prompt[0], std::nullopt);
  for (size_t i = 1; i < prompt.size(); ++i) {
    log_.Add(prompt[i], progress.prompt_logprobs.at(i - 1));
  }
}

AnswerChoice::Delta AnswerChoice::Add(const SequenceProgress& progress) {
  Delta delta;
  if (finished()) return delta;
  delta.first_logged = log_.tokens().size();
  AddPrompt(progress, delta);
  if (spec_.prompt_only && prompt_added_) {
    finish_reason_ = "length";
    delta.finished = true;
    return delta;
  }
  for (const Round& round : progress.rounds) {
    rounds_.emplace_back(static_cast<int64_t>(round.drafts.size()), round.accepted);
  }
  for (size_t i = 0; i < progress.tokens.size() && !finished(); ++i) {
    const bool last = i + 1 == progress.tokens.size();
    if (spec_.wants_logprobs()) log_.Add(progress.tokens[i], progress.logprobs.at(i));
    AddToken(progress.tokens[i], last && progress.finish_reason == FinishReason::kStop, delta);
  }
  if (!finished() && progress.finish_reason != FinishReason::kNone) {
    Append(reader_.Finish(), delta);
    EndAs(progress.finish_reason);
  }
  delta.finished = finished();
  return delta;
}

Json AnswerChoice::SpeculativeMetrics(int64_t num_speculative_tokens, bool detailed) const {
  std::vector<int64_t> histogram(static_cast<size_t>(num_speculative_tokens) + 1);
  int64_t drafted = 0;
  int64_t accepted = 0;
  Json per_step_accepted = Json::array();
  Json per_step_drafted = Json::array();
  for (const auto& [round_drafted, round_accepted] : rounds_) {
    ++histogram.at(static_cast<size_t>(round_accepted));
    drafted += round_drafted;
    accepted += round_accepted;
    per_step_accepted.push_back(round_accepted);
    per_step_drafted.push_back(round_drafted);
  }
  const auto share = [](int64_t part, size_t whole) {
    return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
  };
  Json metrics = {{"mean_acceptance_length", 1.0 + share(accepted, rounds_.size())},
                  {"draft_acceptance_rate", share(accepted, static_cast<size_t>(drafted))},
                  {"acceptance_histogram", histogram},
                  {"num_spec_steps", rounds_.size()},
                  {"num_accepted_draft_tokens", accepted},
                  {"num_draft_tokens", drafted},
                  {"num_spec_tokens", num_speculative_tokens}};
  if (detailed) {
    metrics["per_step_accepted"] = std::move(per_step_accepted);
    metrics["per_step_drafted"] = std::move(per_step_drafted);
  }
  return metrics;
}

}  // namespace talon

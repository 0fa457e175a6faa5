#include "tests/serve/scripted_engine.h"

#include <algorithm>

#include "talon/base/error.h"
#include "tests/serve/byte_tokenizer.h"

namespace talon::test {

void EngineScript::Hold() {
  const std::lock_guard lock(mutex_);
  held_ = true;
}

void EngineScript::Release() {
  const std::lock_guard lock(mutex_);
  held_ = false;
  changed_.notify_all();
}

void EngineScript::AwaitRequests(size_t count) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return num_requests_ == count; });
}

size_t EngineScript::num_requests() {
  const std::lock_guard lock(mutex_);
  return num_requests_;
}

void EngineScript::FailNextStep() {
  const std::lock_guard lock(mutex_);
  fail_next_step_ = true;
}

void ScriptedEngine::PublishCount() {
  const std::lock_guard lock(script_->mutex_);
  script_->num_requests_ = requests_.size();
  script_->changed_.notify_all();
}

int64_t ScriptedEngine::Submit(GenerationRequest request) {
  if (request.prompt_ids.size() < 2) {
    Throw(ErrorCode::kInvalidArgument, "the prompt has no token to repeat");
  }
  requests_.push_back({next_id_++, std::move(request)});
  PublishCount();
  return requests_.back().id;
}

void ScriptedEngine::Cancel(int64_t request_id) {
  std::erase_if(requests_, [&](const Entry& entry) { return entry.id == request_id; });
  PublishCount();
}

TokenLogprobs ScriptedLogprobs(int32_t token, const SamplingParams& sampling) {
  TokenLogprobs logprobs;
  logprobs.logprob = -static_cast<float>(token) / 16.0f;
  for (int32_t i = 0; i < sampling.num_logprobs; ++i) {
    logprobs.top.emplace_back(ByteTokenizer::kFirstByte + 'a' + i, -0.25f * static_cast<float>(i));
  }
  return logprobs;
}

StepOutput ScriptedEngine::Advance(Entry& entry) const {
  StepOutput output;
  output.request_id = entry.id;
  const std::vector<int32_t>& prompt = entry.request.prompt_ids;
  if (entry.num_generated == 0 && entry.request.sampling.num_prompt_logprobs >= 0) {
    for (size_t i = 1; i < prompt.size(); ++i) {
      output.prompt_logprobs.push_back(ScriptedLogprobs(prompt[i], entry.request.sampling));
    }
  }
  const int64_t count = 1 + (entry.num_generated > 0 ? script_->accepted_per_round : 0);
  for (int64_t i = 0; i < count && output.finish_reason == FinishReason::kNone; ++i) {
    const size_t next = 1 + entry.num_generated++;
    output.tokens.push_back(next < prompt.size() ? prompt[next] : ByteTokenizer::kEos);
    if (entry.request.sampling.num_logprobs >= 0) {
      output.logprobs.push_back(ScriptedLogprobs(output.tokens.back(), entry.request.sampling));
    }
    const auto& stops = entry.request.stop_token_ids;
    if (std::find(stops.begin(), stops.end(), output.tokens.back()) != stops.end()) {
      output.finish_reason = FinishReason::kStop;
    } else if (static_cast<int64_t>(entry.num_generated) >= entry.request.max_tokens) {
      output.finish_reason = FinishReason::kLength;
    }
  }
  if (count > 1) {
    output.has_round = true;
    output.round.accepted = script_->accepted_per_round;
    output.round.drafts.assign(static_cast<size_t>(count), 0);
  }
  return output;
}

std::vector<StepOutput> ScriptedEngine::Step() {
  newly_admitted_.clear();
  {
    std::unique_lock lock(script_->mutex_);
    script_->changed_.wait_for(lock, std::chrono::milliseconds(5),
                               [this] { return !script_->held_; });
    if (script_->held_) return {};
    if (std::exchange(script_->fail_next_step_, false)) {
      Throw(ErrorCode::kInternal, "the step failed as scripted");
    }
  }
  std::vector<StepOutput> outputs;
  const auto running =
      std::min<size_t>(requests_.size(), static_cast<size_t>(script_->max_num_seqs));
  for (size_t i = 0; i < running; ++i) {
    if (requests_[i].num_generated == 0) newly_admitted_.push_back(requests_[i].id);
    outputs.push_back(Advance(requests_[i]));
  }
  for (const StepOutput& output : outputs) {
    if (output.finish_reason == FinishReason::kNone) continue;
    std::erase_if(requests_, [&](const Entry& entry) { return entry.id == output.request_id; });
  }
  PublishCount();
  return outputs;
}

EngineLoad ScriptedEngine::load() const {
  EngineLoad load;
  const auto count = static_cast<int64_t>(requests_.size());
  load.running = std::min(count, script_->max_num_seqs);
  load.waiting = count - load.running;
  load.kv_cache_usage = static_cast<double>(load.running) / 8.0;
  return load;
}

}  // namespace talon::test

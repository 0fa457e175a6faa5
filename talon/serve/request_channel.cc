#include "talon/serve/request_channel.h"

#include <utility>

namespace talon {

void RequestChannel::Push(size_t sequence, const StepOutput& output) {
  bool was_unread = false;
  {
    const std::lock_guard lock(mutex_);
    SequenceProgress& progress = progress_.at(sequence);
    progress.tokens.insert(progress.tokens.end(), output.tokens.begin(), output.tokens.end());
    progress.logprobs.insert(progress.logprobs.end(), output.logprobs.begin(),
                             output.logprobs.end());
    if (!output.prompt_logprobs.empty()) progress.prompt_logprobs = output.prompt_logprobs;
    if (output.has_round) progress.rounds.push_back(output.round);
    progress.finish_reason = output.finish_reason;
    was_unread = std::exchange(unread_, true);
  }
  if (!was_unread) wake_();
}

void RequestChannel::Fail(CallFailure failure) {
  {
    const std::lock_guard lock(mutex_);
    failure_ = std::move(failure);
    unread_ = true;
  }
  wake_();
}

RequestChannel::Reading RequestChannel::Take() {
  const std::lock_guard lock(mutex_);
  unread_ = false;
  Reading reading;
  reading.failure = failure_;
  reading.sequences = std::exchange(progress_, std::vector<SequenceProgress>(progress_.size()));
  return reading;
}

}  // namespace talon

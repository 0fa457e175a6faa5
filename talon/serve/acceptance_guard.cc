#include "talon/serve/acceptance_guard.h"

#include <fmt/format.h>

#include <utility>

namespace talon {

AcceptanceGuard::AcceptanceGuard(AcceptanceBaseline baseline,
                                 std::function<void(const AcceptanceCheck&)> on_end)
    : baseline_(std::move(baseline)), on_end_(std::move(on_end)) {
  check_.expected_length = baseline_.Total().Length();
}

bool AcceptanceGuard::done() const {
  return next_ >= baseline_.prompts.size() || check().state != AcceptanceCheck::State::kPending;
}

GenerationRequest AcceptanceGuard::Next() {
  const BaselinePrompt& prompt = baseline_.prompts[next_];
  GenerationRequest request;
  request.prompt_ids = prompt.prompt_ids;
  request.max_tokens = prompt.max_tokens;
  request.stop_token_ids = baseline_.stop_token_ids;
  request.num_speculative_tokens = baseline_.k;
  request.always_draft = true;
  return request;
}

void AcceptanceGuard::Count(const StepOutput& output) {
  if (output.has_round) rounds_.Add(output.round);
  if (output.finish_reason == FinishReason::kNone) return;
  total_.Add(std::exchange(rounds_, AcceptanceCounts()));
  if (++next_ < baseline_.prompts.size()) return;
  AcceptanceCheck check;
  check.expected_length = baseline_.Total().Length();
  check.measured_length = total_.Length();
  const bool low =
      check.measured_length - 1.0 < (1.0 - kLargeShortfall) * (check.expected_length - 1.0);
  check.state = low ? AcceptanceCheck::State::kLow : AcceptanceCheck::State::kAsExpected;
  End(check);
}

void AcceptanceGuard::Fail(const char* reason) {
  AcceptanceCheck check;
  check.state = AcceptanceCheck::State::kFailed;
  check.expected_length = baseline_.Total().Length();
  check.reason = reason;
  End(check);
}

void AcceptanceGuard::End(const AcceptanceCheck& check) {
  {
    const std::lock_guard lock(mutex_);
    check_ = check;
  }
  if (on_end_) on_end_(check);
}

AcceptanceCheck AcceptanceGuard::check() const {
  const std::lock_guard lock(mutex_);
  return check_;
}

std::string Describe(const AcceptanceCheck& check) {
  switch (check.state) {
    case AcceptanceCheck::State::kPending:
      return fmt::format("acceptance is to be compared with the recorded length of {:.2f}",
                         check.expected_length);
    case AcceptanceCheck::State::kAsExpected:
      return fmt::format("acceptance is as recorded: length {:.2f}, recorded {:.2f}",
                         check.measured_length, check.expected_length);
    case AcceptanceCheck::State::kLow:
      return fmt::format(
          "ACCEPTANCE IS LOW: length {:.2f}, recorded {:.2f}. Answers are right, but slower than "
          "they should be; compare the KV cache type, the numerics and the checkpoints with those "
          "of `talon eval --record`",
          check.measured_length, check.expected_length);
    case AcceptanceCheck::State::kFailed:
      return "acceptance could not be compared with what was recorded: " + check.reason;
  }
  return "";
}

}  // namespace talon

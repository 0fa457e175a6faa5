// The mailbox between the engine's thread and whoever waits for an answer. The engine never blocks
// on it: a reader that is slow finds more tokens at once, never more entries than its sequences
// have.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "talon/base/error.h"
#include "talon/engine/request.h"

namespace talon {

// Why a call ended without an answer.
struct CallFailure {
  ErrorCode code = ErrorCode::kInternal;
  bool deadline_passed = false;
  std::string message;
};

// What one sequence gained since the last reading.
struct SequenceProgress {
  std::vector<int32_t> tokens;
  std::vector<TokenLogprobs> logprobs;  // of `tokens`, when asked for
  std::vector<TokenLogprobs> prompt_logprobs;
  std::vector<Round> rounds;
  FinishReason finish_reason = FinishReason::kNone;
};

class RequestChannel {
 public:
  // `wake` is called on the engine's thread when there is something new to read.
  RequestChannel(size_t num_sequences, std::function<void()> wake)
      : progress_(num_sequences), wake_(std::move(wake)) {}

  // The engine's side.
  void Push(size_t sequence, const StepOutput& output);
  void Fail(CallFailure failure);

  // The reader's side.
  struct Reading {
    std::vector<SequenceProgress> sequences;  // [num_sequences]
    std::optional<CallFailure> failure;
  };
  Reading Take();

 private:
  std::mutex mutex_;
  std::vector<SequenceProgress> progress_;
  std::optional<CallFailure> failure_;
  bool unread_ = false;
  const std::function<void()> wake_;
};

}  // namespace talon

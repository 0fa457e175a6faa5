// Compares, when the server is idle, how many drafts are accepted with what `talon eval --record`
// measured for this pair. A drafter that lost its verifier's favour (another KV type, another
// machine's numerics, a wrong file) answers correctly but slowly, and nothing else would say so.
#pragma once

#include <functional>
#include <mutex>

#include "talon/eval/acceptance_baseline.h"
#include "talon/serve/idle_work.h"

namespace talon {

struct AcceptanceCheck {
  enum class State : uint8_t { kPending, kAsExpected, kLow, kFailed };
  State state = State::kPending;
  double expected_length = 1.0;  // 1 + accepted / drafts
  double measured_length = 1.0;  // when the state is kAsExpected or kLow
  std::string reason;            // when it failed
};

class AcceptanceGuard final : public IdleWork {
 public:
  // `on_end` is called once, on the worker's thread.
  AcceptanceGuard(AcceptanceBaseline baseline, std::function<void(const AcceptanceCheck&)> on_end);

  bool done() const override;
  GenerationRequest Next() override;
  void Count(const StepOutput& output) override;
  void Abandon() override { rounds_ = AcceptanceCounts(); }
  void Fail(const char* reason) override;

  // Any thread.
  AcceptanceCheck check() const;

  // Drafts accepted per round may fall short of the baseline by this share; prompts are few.
  static constexpr double kLargeShortfall = 0.2;

 private:
  void End(const AcceptanceCheck& check);

  const AcceptanceBaseline baseline_;
  const std::function<void(const AcceptanceCheck&)> on_end_;
  size_t next_ = 0;          // prompt at hand
  AcceptanceCounts rounds_;  // of the prompt at hand
  AcceptanceCounts total_;   // of the prompts before
  mutable std::mutex mutex_;
  AcceptanceCheck check_;
};

// One sentence for logs.
std::string Describe(const AcceptanceCheck& check);

}  // namespace talon

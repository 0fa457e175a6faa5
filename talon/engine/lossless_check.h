// Compares an engine's answers with the verifier's own, token by token: the promise of
// docs/numerics.md, for the tests and for `talon verify-lossless`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "talon/engine/engine.h"

namespace talon {

// Where an answer first differs from the expected one.
struct Divergence {
  size_t request = 0;
  int pass = 0;
  size_t position = 0;   // in the answer
  int32_t expected = 0;  // token ids; -1: the answer has ended
  int32_t actual = 0;
};

struct LosslessOutcome {
  int64_t requests = 0;
  int64_t tokens = 0;  // in all answers
  std::vector<Divergence> divergences;
  // That the setting was put to the test.
  int64_t accepted_drafts = 0;
  int64_t cached_tokens = 0;  // of the prompts, found in the prefix cache
  int64_t preemptions = 0;
};

// How often an engine answers the requests, and how many short ones it answers in between.
struct LosslessPasses {
  int count = 1;
  int64_t requests_between = 0;
};

class LosslessCheck {
 public:
  using OnTokens = std::function<void(int64_t count)>;

  // `expected` are the answers to `requests`.
  LosslessCheck(std::vector<GenerationRequest> requests, std::vector<GenerationResult> expected)
      : requests_(std::move(requests)), expected_(std::move(expected)) {}

  // `on_tokens`, which may be empty, is told of tokens as they come.
  LosslessOutcome Run(Engine& engine, const LosslessPasses& passes,
                      const OnTokens& on_tokens = nullptr) const;

 private:
  void Compare(const std::vector<GenerationResult>& actual, int pass,
               LosslessOutcome& outcome) const;
  void AnswerShortRequests(Engine& engine, int64_t count) const;

  std::vector<GenerationRequest> requests_;
  std::vector<GenerationResult> expected_;
};

}  // namespace talon

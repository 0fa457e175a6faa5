// A stand-in for the engine: every request's answer is its own prompt after the BOS, one token per
// step for each running request, then EOS. Tests can hold its steps back and look at what it holds.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>

#include "talon/serve/step_engine.h"

namespace talon::test {

// What test and engine thread share.
class EngineScript {
 public:
  // Steps wait until Release.
  void Hold();
  void Release();
  // Waits until `count` requests are inside the engine, queued or running.
  void AwaitRequests(size_t count);
  size_t num_requests();
  // The next Step throws.
  void FailNextStep();

  int64_t max_num_seqs = 8;
  // Accepted drafts per round; each step then brings one token more. 0: no drafts.
  int64_t accepted_per_round = 0;

 private:
  friend class ScriptedEngine;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool held_ = false;
  bool fail_next_step_ = false;
  size_t num_requests_ = 0;
};

// -id / 16 for the token itself; 'a', 'b', ... with 0, -0.25, ... as the likeliest tokens.
TokenLogprobs ScriptedLogprobs(int32_t token, const SamplingParams& sampling);

class ScriptedEngine final : public StepEngine {
 public:
  explicit ScriptedEngine(std::shared_ptr<EngineScript> script) : script_(std::move(script)) {}

  int64_t Submit(GenerationRequest request) override;
  void Cancel(int64_t request_id) override;
  bool idle() const override { return requests_.empty(); }
  std::vector<StepOutput> Step() override;
  EngineLoad load() const override;
  const std::vector<int64_t>& newly_admitted() const override { return newly_admitted_; }

 private:
  struct Entry {
    int64_t id;
    GenerationRequest request;
    size_t num_generated = 0;
  };
  StepOutput Advance(Entry& entry) const;
  void PublishCount();

  std::shared_ptr<EngineScript> script_;
  std::deque<Entry> requests_;
  int64_t next_id_ = 0;
  std::vector<int64_t> newly_admitted_;
};

}  // namespace talon::test

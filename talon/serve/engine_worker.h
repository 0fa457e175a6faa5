// The one thread that owns the engine. Others hand it calls and cancellations; it steps the engine
// and puts what each sequence gained into the call's channel. Bounds what is in flight, ends calls
// at their deadline, and drains on shutdown.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <variant>
#include <vector>

#include "talon/serve/drain_rate.h"
#include "talon/serve/idle_work.h"
#include "talon/serve/request_channel.h"
#include "talon/serve/step_engine.h"

namespace talon {

class EngineWorker {
 public:
  using Clock = std::chrono::steady_clock;

  // One HTTP request: its sequences (prompts times n) run and end together.
  struct Call {
    std::vector<GenerationRequest> sequences;
    std::shared_ptr<RequestChannel> channel;
    Clock::time_point deadline = Clock::time_point::max();
  };

  // At most `max_in_flight` sequences are queued or running at any time.
  EngineWorker(std::unique_ptr<StepEngine> engine, int64_t max_in_flight, ServingMetrics& metrics);
  // Cancels what is left.
  ~EngineWorker();
  EngineWorker(const EngineWorker&) = delete;
  EngineWorker& operator=(const EngineWorker&) = delete;

  // Queues a call and returns its id. Throws RequestError: kResourceExhausted with a time to retry
  // when the queue is full, kInvalidArgument when it could never hold the call, kFailedPrecondition
  // while draining.
  int64_t Submit(Call call);
  // Ends a call before the next step; nothing more comes through its channel. Unknown ids and calls
  // that have ended are ignored.
  void Cancel(int64_t call_id);
  // Ends one sequence whose text is complete (a stop string).
  void FinishSequence(int64_t call_id, size_t sequence);

  // Refuses new calls, waits until none is in flight or `grace` has passed, cancels the rest and
  // ends the thread.
  void Drain(std::chrono::milliseconds grace);

  // Asked one by one while nobody else asks anything, and given up as soon as somebody does.
  void SetIdleWork(std::shared_ptr<IdleWork> work);

  int64_t in_flight() const;
  int64_t max_in_flight() const { return max_in_flight_; }

 private:
  struct SubmitCommand {
    int64_t call_id;
    Call call;
    Clock::time_point arrival;
  };
  struct EndCommand {
    int64_t call_id;
    int64_t sequence;  // -1: all
    EndReason reason;
  };
  using Command = std::variant<SubmitCommand, EndCommand>;
  // A sequence inside the engine.
  struct Active {
    int64_t call_id = 0;
    size_t sequence = 0;
    std::shared_ptr<RequestChannel> channel;
    Clock::time_point deadline;
    Clock::time_point arrival;
    Clock::time_point last_output;
    RequestRecord record;
  };

  void Run();
  void Execute(SubmitCommand& command);
  void Execute(const EndCommand& command);
  void Step();
  void StepIdleWork();
  void AbandonIdleWork();
  void Deliver(const StepOutput& output, Clock::time_point now);
  void CountOutput(Active& active, const StepOutput& output, Clock::time_point now);
  void EndAtDeadline();
  void EndAll(const CallFailure& failure);
  // Takes a sequence out of the books; the iterator after it.
  std::map<int64_t, Active>::iterator End(std::map<int64_t, Active>::iterator active,
                                          EndReason reason);
  void CountGone(int64_t sequences);

  // Owned by the thread.
  std::unique_ptr<StepEngine> engine_;
  std::map<int64_t, Active> active_;  // by the engine's id
  int64_t idle_request_ = -1;         // the idle work's request at hand

  const int64_t max_in_flight_;
  ServingMetrics& metrics_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;     // something for the thread to do
  std::condition_variable drained_;  // in_flight_ became 0
  std::vector<Command> commands_;
  std::shared_ptr<IdleWork> idle_work_;  // null: none, or done
  DrainRate drain_rate_;
  int64_t in_flight_ = 0;
  int64_t next_call_id_ = 0;
  bool draining_ = false;
  bool stopping_ = false;
  std::thread thread_;  // last: starts when everything else is there
};

}  // namespace talon

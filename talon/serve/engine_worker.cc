#include "talon/serve/engine_worker.h"

#include <exception>
#include <iterator>
#include <utility>

#include "talon/serve/request_error.h"

namespace talon {
namespace {

double SecondsBetween(EngineWorker::Clock::time_point from, EngineWorker::Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

CallFailure ToFailure(const std::exception& error) {
  const auto* known = dynamic_cast<const Error*>(&error);
  return {known != nullptr ? known->code() : ErrorCode::kInternal, false, error.what()};
}

EndReason ToEndReason(FinishReason reason) {
  return reason == FinishReason::kLength ? EndReason::kLength : EndReason::kStop;
}

}  // namespace

EngineWorker::EngineWorker(std::unique_ptr<StepEngine> engine, int64_t max_in_flight,
                           ServingMetrics& metrics)
    : engine_(std::move(engine)),
      max_in_flight_(max_in_flight),
      metrics_(metrics),
      thread_([this] { Run(); }) {}

EngineWorker::~EngineWorker() { Drain(std::chrono::milliseconds(0)); }

int64_t EngineWorker::Submit(Call call) {
  const Clock::time_point now = Clock::now();
  const auto count = static_cast<int64_t>(call.sequences.size());
  if (count > max_in_flight_) {
    throw RequestError(
        ErrorCode::kInvalidArgument,
        fmt::format("the request asks for {} sequences; this server holds at most {} at a time",
                    count, max_in_flight_),
        "n");
  }
  const std::lock_guard lock(mutex_);
  if (draining_) {
    throw RequestError(ErrorCode::kFailedPrecondition, "the server is shutting down", "");
  }
  const int64_t excess = in_flight_ + count - max_in_flight_;
  if (excess > 0) {
    metrics_.CountRejected();
    const int wait_s = drain_rate_.RetryAfterS(excess, now);
    throw RequestError(
        ErrorCode::kResourceExhausted,
        fmt::format("{} requests are queued or running, as many as this server takes; try again "
                    "in {} s",
                    in_flight_, wait_s),
        "", wait_s);
  }
  in_flight_ += count;
  const int64_t id = next_call_id_++;
  commands_.push_back(SubmitCommand{id, std::move(call), now});
  wake_.notify_one();
  return id;
}

void EngineWorker::Cancel(int64_t call_id) {
  const std::lock_guard lock(mutex_);
  commands_.push_back(EndCommand{call_id, -1, EndReason::kAbort});
  wake_.notify_one();
}

void EngineWorker::SetIdleWork(std::shared_ptr<IdleWork> work) {
  const std::lock_guard lock(mutex_);
  idle_work_ = std::move(work);
  wake_.notify_one();
}

void EngineWorker::FinishSequence(int64_t call_id, size_t sequence) {
  const std::lock_guard lock(mutex_);
  commands_.push_back(EndCommand{call_id, static_cast<int64_t>(sequence), EndReason::kStop});
  wake_.notify_one();
}

int64_t EngineWorker::in_flight() const {
  const std::lock_guard lock(mutex_);
  return in_flight_;
}

void EngineWorker::Drain(std::chrono::milliseconds grace) {
  {
    std::unique_lock lock(mutex_);
    draining_ = true;
    drained_.wait_for(lock, grace, [this] { return in_flight_ == 0; });
    stopping_ = true;
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void EngineWorker::Run() {
  while (true) {
    std::vector<Command> commands;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] {
        return stopping_ || !commands_.empty() || !active_.empty() || idle_work_ != nullptr;
      });
      commands.swap(commands_);
      if (stopping_ && commands.empty()) break;
    }
    for (Command& command : commands) {
      std::visit([this](auto& known) { Execute(known); }, command);
    }
    EndAtDeadline();
    if (active_.empty()) {
      StepIdleWork();
      continue;
    }
    AbandonIdleWork();
    Step();
    metrics_.SetLoad(engine_->load());
  }
  AbandonIdleWork();
  EndAll({ErrorCode::kFailedPrecondition, false, "the server is shutting down"});
  metrics_.SetLoad(engine_->load());
}

void EngineWorker::Execute(SubmitCommand& command) {
  Call& call = command.call;
  for (size_t i = 0; i < call.sequences.size(); ++i) {
    Active active{command.call_id, i, call.channel, call.deadline, command.arrival,
                  command.arrival, {}};
    active.record.prompt_tokens = static_cast<int64_t>(call.sequences[i].prompt_ids.size());
    active.record.max_tokens = call.sequences[i].max_tokens;
    try {
      active_.emplace(engine_->Submit(std::move(call.sequences[i])), std::move(active));
    } catch (const std::exception& error) {
      Execute(EndCommand{command.call_id, -1, EndReason::kError});
      CountGone(static_cast<int64_t>(call.sequences.size() - i));
      call.channel->Fail(ToFailure(error));
      return;
    }
  }
}

void EngineWorker::Execute(const EndCommand& command) {
  for (auto it = active_.begin(); it != active_.end();) {
    const Active& active = it->second;
    const bool meant =
        active.call_id == command.call_id &&
        (command.sequence < 0 || command.sequence == static_cast<int64_t>(active.sequence));
    if (!meant) {
      ++it;
      continue;
    }
    engine_->Cancel(it->first);
    it = End(it, command.reason);
  }
}

void EngineWorker::EndAtDeadline() {
  const Clock::time_point now = Clock::now();
  for (auto it = active_.begin(); it != active_.end();) {
    if (now < it->second.deadline) {
      ++it;
      continue;
    }
    it->second.channel->Fail({ErrorCode::kResourceExhausted, true,
                              fmt::format("the request did not end within {:.0f} s",
                                          SecondsBetween(it->second.arrival, now))});
    engine_->Cancel(it->first);
    it = End(it, EndReason::kAbort);
  }
}

void EngineWorker::EndAll(const CallFailure& failure) {
  for (auto it = active_.begin(); it != active_.end();) {
    it->second.channel->Fail(failure);
    engine_->Cancel(it->first);
    it = End(it, failure.code == ErrorCode::kInternal ? EndReason::kError : EndReason::kAbort);
  }
}

void EngineWorker::Step() {
  std::vector<StepOutput> outputs;
  const Clock::time_point start = Clock::now();
  try {
    outputs = engine_->Step();
  } catch (const std::exception& error) {
    EndAll(ToFailure(error));
    return;
  }
  // The books first, here too: whoever reads an answer finds its part in the metrics.
  metrics_.SetLoad(engine_->load());
  for (const int64_t id : engine_->newly_admitted()) {
    const auto it = active_.find(id);
    if (it != active_.end()) it->second.record.queue_s = SecondsBetween(it->second.arrival, start);
  }
  const Clock::time_point now = Clock::now();
  int64_t tokens = 0;
  for (const StepOutput& output : outputs) {
    tokens += static_cast<int64_t>(output.tokens.size());
    Deliver(output, now);
  }
  metrics_.CountStep(tokens);
}

void EngineWorker::StepIdleWork() {
  std::shared_ptr<IdleWork> work;
  {
    const std::lock_guard lock(mutex_);
    if (idle_work_ != nullptr && idle_work_->done()) idle_work_ = nullptr;
    work = idle_work_;
  }
  if (work == nullptr) return metrics_.SetLoad(engine_->load());
  try {
    if (idle_request_ < 0) idle_request_ = engine_->Submit(work->Next());
    for (const StepOutput& output : engine_->Step()) {
      if (output.request_id != idle_request_) continue;
      if (output.finish_reason != FinishReason::kNone) idle_request_ = -1;
      work->Count(output);
    }
  } catch (const std::exception& error) {
    AbandonIdleWork();
    work->Fail(error.what());
  }
}

void EngineWorker::AbandonIdleWork() {
  if (idle_request_ < 0) return;
  engine_->Cancel(idle_request_);
  idle_request_ = -1;
  const std::lock_guard lock(mutex_);
  if (idle_work_ != nullptr) idle_work_->Abandon();
}

void EngineWorker::Deliver(const StepOutput& output, Clock::time_point now) {
  const auto it = active_.find(output.request_id);
  if (it == active_.end()) return;
  CountOutput(it->second, output, now);
  const std::shared_ptr<RequestChannel> channel = it->second.channel;
  const size_t sequence = it->second.sequence;
  // The books first: whoever reads the end of the answer finds the place free.
  if (output.finish_reason != FinishReason::kNone) End(it, ToEndReason(output.finish_reason));
  channel->Push(sequence, output);
}

void EngineWorker::CountOutput(Active& active, const StepOutput& output, Clock::time_point now) {
  if (output.has_round) {
    metrics_.CountRound(static_cast<int64_t>(output.round.drafts.size()), output.round.accepted);
  }
  if (output.tokens.empty()) return;
  RequestRecord& record = active.record;
  if (record.generation_tokens == 0) {
    record.first_token_s = SecondsBetween(active.arrival, now);
    metrics_.CountFirstToken(record.prompt_tokens, record.first_token_s);
  } else {
    metrics_.CountInterTokenLatency(SecondsBetween(active.last_output, now));
  }
  active.last_output = now;
  record.generation_tokens += static_cast<int64_t>(output.tokens.size());
  metrics_.CountTokens(static_cast<int64_t>(output.tokens.size()));
}

std::map<int64_t, EngineWorker::Active>::iterator EngineWorker::End(
    std::map<int64_t, Active>::iterator active, EndReason reason) {
  RequestRecord& record = active->second.record;
  record.reason = reason;
  record.total_s = SecondsBetween(active->second.arrival, Clock::now());
  metrics_.CountFinished(record);
  CountGone(1);
  return active_.erase(active);
}

void EngineWorker::CountGone(int64_t sequences) {
  const std::lock_guard lock(mutex_);
  for (int64_t i = 0; i < sequences; ++i) drain_rate_.CountFinished(Clock::now());
  in_flight_ -= sequences;
  if (in_flight_ == 0) drained_.notify_all();
}

}  // namespace talon

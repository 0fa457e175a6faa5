#include "talon/serve/generation_call.h"

#include <algorithm>
#include <utility>

#include "talon/serve/openai_protocol.h"
#include "talon/serve/request_error.h"

namespace talon {

GenerationCall::GenerationCall(GenerationSpec spec, const ServedModel& model, EngineWorker& worker,
                               EngineWorker::Clock::duration timeout)
    : spec_(std::move(spec)), worker_(worker), timeout_(timeout), format_(spec_, model) {
  const size_t count = spec_.num_sequences();
  // Before a prompt is copied once per answer.
  if (count > static_cast<size_t>(worker.max_in_flight())) {
    RefuseField("n", "asks for {} answers in all; this server works on at most {} at a time", count,
                worker.max_in_flight());
  }
  sequences_ = BuildSequences(spec_, model);
  choices_.reserve(count);
  for (size_t i = 0; i < count; ++i) choices_.emplace_back(spec_, model, i);
}

GenerationCall::~GenerationCall() {
  if (call_id_ && !done_) worker_.Cancel(*call_id_);
}

std::unique_ptr<HttpReply> GenerationCall::Start(std::function<void()> wake) {
  channel_ = std::make_shared<RequestChannel>(choices_.size(), std::move(wake));
  EngineWorker::Call call;
  call.sequences = std::exchange(sequences_, {});
  call.channel = channel_;
  if (timeout_ > EngineWorker::Clock::duration::zero()) {
    call.deadline = EngineWorker::Clock::now() + timeout_;
  }
  try {
    call_id_ = worker_.Submit(std::move(call));
  } catch (const std::exception& error) {
    return std::make_unique<HttpReply>(ErrorToReply(error));
  }
  return nullptr;
}

bool GenerationCall::AllFinished() const {
  return std::all_of(choices_.begin(), choices_.end(),
                     [](const AnswerChoice& choice) { return choice.finished(); });
}

OngoingReply::Progress GenerationCall::Advance() {
  Progress progress;
  if (done_) return progress;
  const RequestChannel::Reading reading = channel_->Take();
  Read(reading, progress);
  if (AllFinished()) {
    Complete(progress);
  } else if (reading.failure) {
    Fail(*reading.failure, progress);
  }
  return progress;
}

void GenerationCall::Read(const RequestChannel::Reading& reading, Progress& progress) {
  for (AnswerChoice& choice : choices_) {
    const AnswerChoice::Delta delta = choice.Add(reading.sequences[choice.index()]);
    if (delta.stopped_by_string) worker_.FinishSequence(*call_id_, choice.index());
    if (!spec_.stream || delta.empty()) continue;
    if (!std::exchange(opened_, true)) progress.events += format_.Opening(choices_);
    progress.events += format_.Chunk(choice, delta, choices_);
  }
}

void GenerationCall::Complete(Progress& progress) {
  done_ = true;
  progress.finished = true;
  if (spec_.stream) {
    progress.events += format_.Closing(choices_);
  } else {
    progress.reply = std::make_unique<HttpReply>();
    progress.reply->body =
        format_.Whole(choices_).dump(-1, ' ', false, Json::error_handler_t::replace);
  }
}

void GenerationCall::Fail(const CallFailure& failure, Progress& progress) {
  worker_.Cancel(*call_id_);
  done_ = true;
  progress.finished = true;
  const int status = failure.deadline_passed ? 504 : HttpStatus(failure.code);
  if (opened_) {
    progress.events += AnswerFormat::Failure(ErrorBody(status, failure.message, ""));
  } else {
    progress.reply = std::make_unique<HttpReply>(MakeErrorReply(status, failure.message));
  }
}

HttpReply MakeErrorReply(int status, const std::string& message, const std::string& param) {
  HttpReply reply;
  reply.status = status;
  reply.body =
      ErrorBody(status, message, param).dump(-1, ' ', false, Json::error_handler_t::replace);
  return reply;
}

int HttpStatus(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kUnsupported:
      return 400;
    case ErrorCode::kNotFound:
      return 404;
    case ErrorCode::kResourceExhausted:
      return 429;
    case ErrorCode::kFailedPrecondition:
      return 503;
    case ErrorCode::kDataLoss:
    case ErrorCode::kInternal:
      return 500;
  }
  return 500;
}

HttpReply ErrorToReply(const std::exception& error) {
  if (const auto* request_error = dynamic_cast<const RequestError*>(&error)) {
    HttpReply reply =
        MakeErrorReply(HttpStatus(request_error->code()), error.what(), request_error->param());
    if (request_error->retry_after_s() > 0) {
      reply.headers.emplace_back("Retry-After", std::to_string(request_error->retry_after_s()));
    }
    return reply;
  }
  const auto* known = dynamic_cast<const Error*>(&error);
  return MakeErrorReply(known != nullptr ? HttpStatus(known->code()) : 500, error.what());
}

}  // namespace talon

// A generation on its way: from a checked request through the engine's worker to a whole answer or
// an event stream.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "talon/serve/answer_format.h"
#include "talon/serve/engine_worker.h"
#include "talon/serve/http_handler.h"

namespace talon {

class GenerationCall final : public OngoingReply {
 public:
  // Throws RequestError when the prompts do not fit. `model` and `worker` outlive the call.
  GenerationCall(GenerationSpec spec, const ServedModel& model, EngineWorker& worker,
                 EngineWorker::Clock::duration timeout);
  // Cancels what has not ended.
  ~GenerationCall() override;

  std::unique_ptr<HttpReply> Start(std::function<void()> wake) override;
  Progress Advance() override;

 private:
  void Read(const RequestChannel::Reading& reading, Progress& progress);
  void Fail(const CallFailure& failure, Progress& progress);
  void Complete(Progress& progress);
  bool AllFinished() const;

  const GenerationSpec spec_;
  EngineWorker& worker_;
  EngineWorker::Clock::duration timeout_;
  AnswerFormat format_;
  std::vector<AnswerChoice> choices_;
  std::vector<GenerationRequest> sequences_;  // until Start
  std::shared_ptr<RequestChannel> channel_;
  std::optional<int64_t> call_id_;
  bool opened_ = false;  // the stream's first event was made
  bool done_ = false;
};

// The reply for an exception of a request's handling.
HttpReply ErrorToReply(const std::exception& error);
// {"error": ...} as a reply.
HttpReply MakeErrorReply(int status, const std::string& message, const std::string& param = "");
int HttpStatus(ErrorCode code);

}  // namespace talon

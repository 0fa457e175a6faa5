// Answers as OpenAI's JSON: the whole object, or the chunks of an event stream.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "talon/base/json.h"
#include "talon/serve/answer_choice.h"

namespace talon {

class AnswerFormat {
 public:
  AnswerFormat(const GenerationSpec& spec, const ServedModel& model);

  // The whole answer.
  Json Whole(const std::vector<AnswerChoice>& choices) const;

  // Events ("data: ...\n\n"). The first chunk of each chat answer, before any text:
  std::string Opening(const std::vector<AnswerChoice>& choices) const;
  // One answer's gain.
  std::string Chunk(const AnswerChoice& choice, const AnswerChoice::Delta& delta,
                    const std::vector<AnswerChoice>& choices) const;
  // The end: usage when asked for, then [DONE].
  std::string Closing(const std::vector<AnswerChoice>& choices) const;
  // A stream that fails after it began.
  static std::string Failure(const Json& error);

 private:
  bool chat() const { return spec_.endpoint == Endpoint::kChat; }
  Json Envelope(const char* object) const;
  Json WholeChoice(const AnswerChoice& choice) const;
  Json ChunkChoice(const AnswerChoice& choice, const AnswerChoice::Delta& delta) const;
  Json Usage(const std::vector<AnswerChoice>& choices) const;
  // metrics.speculative_decoding, for one answer alone (as in vLLM).
  void AddMetrics(const std::vector<AnswerChoice>& choices, Json& answer) const;
  std::string Event(Json chunk, Json choice, const std::vector<AnswerChoice>& choices) const;
  // Log-probabilities of the choice's tokens from `first_logged` on; null when there are none.
  Json Logprobs(const AnswerChoice& choice, size_t first_logged) const;

  const GenerationSpec& spec_;
  const ServedModel& model_;
  std::string id_;
  int64_t created_;
};

}  // namespace talon

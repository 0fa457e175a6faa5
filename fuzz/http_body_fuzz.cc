// Any bytes as the body of every POST endpoint: a request is refused with a reason, or it is one
// that the engine may be given.
#include <cstdlib>
#include <string_view>

#include "talon/serve/openai_protocol.h"
#include "talon/serve/request_error.h"
#include "tests/serve/byte_tokenizer.h"

namespace {

using talon::GenerationSpec;
using talon::Json;
using talon::ServedModel;
using talon::test::ByteTokenizer;

const ServedModel& Model() {
  static const ByteTokenizer tokenizer;
  static const ServedModel served = [] {
    ServedModel model;
    model.names = {"tiny"};
    model.tokenizer = &tokenizer;
    model.chat_format = talon::ChatFormat::kGemma4;
    model.reasoning = FindReasoningMarkers(tokenizer);
    model.stop_token_ids = {ByteTokenizer::kEos, ByteTokenizer::kEndOfTurn};
    model.vocab_size = ByteTokenizer::kVocabSize;
    model.max_model_len = 512;
    model.num_speculative_tokens = 3;
    return model;
  }();
  return served;
}

void Require(bool condition) {
  if (!condition) std::abort();
}

void CheckSequences(const GenerationSpec& spec) {
  if (spec.num_sequences() > 64) return;  // copies of one another
  for (const talon::GenerationRequest& request : BuildSequences(spec, Model())) {
    Require(!request.prompt_ids.empty() && request.max_tokens >= 1);
    Require(std::ssize(request.prompt_ids) + request.max_tokens <= Model().max_model_len);
    for (const int32_t id : request.prompt_ids) Require(id >= 0 && id < Model().vocab_size);
    const talon::SamplingParams& sampling = request.sampling;
    Require(sampling.temperature >= 0.0 && sampling.top_k >= 0);
    Require(sampling.top_p > 0.0 && sampling.top_p <= 1.0);
    Require(sampling.min_p >= 0.0 && sampling.min_p <= 1.0 && sampling.repetition_penalty > 0.0);
  }
}

template <typename Action>
void Try(Action action) {
  try {
    action();
  } catch (const talon::Error& error) {
    Require(error.code() != talon::ErrorCode::kInternal);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  Try([&] {
    const Json body = talon::ParseRequestBody(input);
    Try([&] { CheckSequences(ParseChatRequest(body, Model())); });
    Try([&] { CheckSequences(ParseCompletionRequest(body, Model())); });
    Try([&] { AnswerTokenize(body, Model()); });
    Try([&] { AnswerDetokenize(body, Model()); });
  });
  return 0;
}

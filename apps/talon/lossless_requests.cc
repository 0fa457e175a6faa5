#include "apps/talon/lossless_requests.h"

#include <array>
#include <iterator>
#include <utility>

#include "talon/base/error.h"
#include "talon/text/dataset.h"

namespace talon {
namespace {

// Every second built-in question comes after this text, so that prompts share a start that the
// prefix cache can find and that takes several chunks.
constexpr const char* kBackground =
    "A river begins where rain or melting snow gathers in the hills. Small streams meet and become "
    "larger ones, and the water follows the lowest way it finds. In the mountains it runs fast and "
    "cuts deep valleys; in the plain it slows down, bends from side to side and drops the sand and "
    "mud that it carried. People have always lived beside rivers. They drink the water, catch "
    "fish, "
    "water their fields, drive mills and carry goods to the towns further down. Floods bring new "
    "soil to the fields, and they also break bridges and walls. Where the river meets the sea, its "
    "mud builds a wide, flat delta, in which birds rest on their long journeys. ";

constexpr std::array<const char*, 8> kQuestions = {
    "Tell me a story about a child, a boat and a long journey.",
    "Explain in simple words why the sky is blue.",
    "What are the first ten multiples of seven? Show how you count.",
    "Write a short letter to a friend about the weather.",
    "List things that people need for a day in the forest, and say why.",
    "How does a river change on its way to the sea?",
    "Write a small function that finds the largest number in a list.",
    "Translate into French: the dog sleeps under the old tree."};

std::vector<int32_t> Encode(const Session& session, const std::string& text) {
  if (!session.chat_format) return EncodePrompt(*session.tokenizer, text);
  return session.EncodeChat({{{"role", "user"}, {"content", text}}});
}

std::vector<std::vector<int32_t>> BuiltInPrompts(const Session& session, int64_t count) {
  std::vector<std::vector<int32_t>> prompts;
  for (int64_t i = 0; i < count; ++i) {
    const char* question = kQuestions[static_cast<size_t>(i) % kQuestions.size()];
    const std::string numbered =
        fmt::format("{}Question {}: {}", i % 2 == 0 ? "" : kBackground, i + 1, question);
    prompts.push_back(Encode(session, numbered));
  }
  return prompts;
}

std::vector<std::vector<int32_t>> ReadPromptIds(const Session& session,
                                                const std::vector<std::string>& paths) {
  std::vector<std::vector<int32_t>> prompts;
  for (const std::string& path : paths) {
    for (const PromptRow& row : ReadPrompts(path)) {
      prompts.push_back(row.turns.empty() ? session.EncodeChat(row.messages)
                                          : Encode(session, row.turns.front()));
    }
  }
  return prompts;
}

// Greedy and seeded in turn; the second half of every eight looks at its own text too.
SamplingParams Sampling(int64_t i) {
  SamplingParams sampling;
  if (i % 2 == 1) {
    sampling.temperature = 0.7 + 0.1 * static_cast<double>(i % 5);
    sampling.top_k = i % 4 == 1 ? 64 : 0;
    sampling.top_p = i % 4 == 1 ? 0.95 : 1.0;
    sampling.min_p = i % 8 == 3 ? 0.05 : 0.0;
    sampling.seed = static_cast<uint64_t>(i);
  }
  if (i % 8 == 4 || i % 8 == 5) sampling.repetition_penalty = 1.1;
  if (i % 8 == 6 || i % 8 == 7) {
    sampling.frequency_penalty = 0.4;
    sampling.presence_penalty = 0.2;
  }
  return sampling;
}

}  // namespace

std::vector<GenerationRequest> MakeLosslessRequests(const Session& session,
                                                    const LosslessRequestOptions& options) {
  const auto prompts = options.data.empty() ? BuiltInPrompts(session, options.count)
                                            : ReadPromptIds(session, options.data);
  std::vector<GenerationRequest> requests;
  for (const std::vector<int32_t>& prompt : prompts) {
    const int64_t i = std::ssize(requests);
    if (i == options.count) break;
    if (std::ssize(prompt) >= options.max_model_len) continue;
    GenerationRequest request;
    request.prompt_ids = prompt;
    request.max_tokens = std::min(options.max_tokens, options.max_model_len - std::ssize(prompt));
    request.sampling = Sampling(i);
    // The others go on after what would end them: longer texts are compared.
    if (i % 4 == 3) request.stop_token_ids = session.StopTokenIds();
    requests.push_back(std::move(request));
  }
  if (requests.empty()) {
    Throw(ErrorCode::kInvalidArgument,
          "none of the {} prompts leaves room for an answer in a context of {} tokens",
          prompts.size(), options.max_model_len);
  }
  return requests;
}

}  // namespace talon

// Any bytes as a JSONL data set; the messages of rows that are accepted go through every chat
// format.
#include <cstdlib>
#include <string_view>

#include "talon/base/error.h"
#include "talon/text/chat.h"
#include "talon/text/dataset.h"

namespace {

template <typename Action>
void Try(Action action) {
  try {
    action();
  } catch (const talon::Error& error) {
    if (error.code() == talon::ErrorCode::kInternal) std::abort();
  }
}

void Render(const talon::Json& messages) {
  using talon::ChatFormat;
  talon::ChatOptions options;
  // Tool declarations are free-form JSON, so the messages themselves serve as some.
  options.tools = messages;
  for (const auto format :
       {ChatFormat::kGemma3, ChatFormat::kGemma4, ChatFormat::kGemma4EmptyThought}) {
    Try([&] { talon::RenderChat(format, messages, {}); });
    Try([&] { talon::RenderChat(format, messages, options); });
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  Try([&] {
    for (const auto& row : talon::ParseConversations(input, "fuzz.jsonl")) Render(row.messages);
  });
  Try([&] {
    for (const auto& row : talon::ParsePrompts(input, "fuzz.jsonl")) Render(row.messages);
  });
  return 0;
}

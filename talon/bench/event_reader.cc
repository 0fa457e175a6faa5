#include "talon/bench/event_reader.h"

namespace talon {

void EventReader::Add(std::string_view bytes, double seconds) {
  constexpr std::string_view kData = "data: ";
  rest_ += bytes;
  size_t begin = 0;
  for (size_t end = 0; (end = rest_.find("\n\n", begin)) != std::string::npos; begin = end + 2) {
    const std::string_view event = std::string_view{rest_}.substr(begin, end - begin);
    if (!event.starts_with(kData)) continue;  // a comment
    const std::string_view data = event.substr(kData.size());
    if (data != "[DONE]") Read(ParseJson(data, "the server's stream"), seconds);
  }
  rest_.erase(0, begin);
}

void EventReader::Read(const Json& event, double seconds) {
  if (event.contains("error")) timing_.error = event["error"].dump();
  if (event.contains("choices") && !event["choices"].empty()) {
    const Json& choice = event["choices"][0];
    if (begun_) {
      timing_.gaps_s.push_back(seconds - timing_.latency_s);
    } else {
      timing_.first_token_s = seconds;
    }
    begun_ = true;
    timing_.latency_s = seconds;
    const Json& delta = choice.contains("delta") ? choice["delta"] : choice;
    for (const char* field : {"text", "reasoning", "reasoning_content", "content"}) {
      if (delta.contains(field) && delta[field].is_string()) {
        timing_.text += delta[field].get<std::string>();
      }
    }
  }
  if (event.contains("usage") && event["usage"].is_object()) {
    timing_.output_tokens = event["usage"].value("completion_tokens", int64_t{0});
    timing_.input_tokens = event["usage"].value("prompt_tokens", int64_t{0});
  }
}

void EventReader::Finish() {
  if (timing_.error.empty() && !begun_) timing_.error = "the stream brought no token";
  timing_.success = timing_.error.empty();
}

}  // namespace talon

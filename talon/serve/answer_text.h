// One answer's tokens become text: the reasoning channel ("<|channel>thought\n ... <channel|>")
// apart from the content, stop strings cut, never a piece of a character. Token by token, so the
// text does not depend on how many tokens a step brings.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "talon/serve/stop_strings.h"
#include "talon/text/tokenizer.h"

namespace talon {

// Where the tokenizer's reasoning channel begins and ends.
struct ReasoningMarkers {
  int32_t open = -1;
  int32_t close = -1;
};
// nullopt when the tokenizer has no such tokens.
std::optional<ReasoningMarkers> FindReasoningMarkers(const Tokenizer& tokenizer);

struct AnswerTextOptions {
  std::vector<std::string> stop;
  bool include_stop_str_in_output = false;
  int64_t min_tokens = 0;  // stop strings may end behind this many tokens only
  bool skip_special_tokens = true;
  std::optional<ReasoningMarkers> reasoning;  // none: everything is content
  bool starts_in_reasoning = false;           // the prompt ends inside an open channel
};

struct TextDelta {
  std::string reasoning;
  std::string content;
  bool empty() const { return reasoning.empty() && content.empty(); }
};

class AnswerText {
 public:
  AnswerText(const Tokenizer& tokenizer, AnswerTextOptions options);

  // Adds a token; returns the text that became final. After a stop string nothing more comes.
  TextDelta Push(int32_t id);
  // The rest, when the answer ended for another reason.
  TextDelta Finish();

  // Stop strings match within the reasoning or within the content, not across.
  const std::optional<std::string>& stop_found() const { return stop_.found(); }
  int64_t reasoning_tokens() const { return reasoning_tokens_; }

 private:
  std::string PushToStop(const std::string& text);
  // Ends the current channel: its text becomes final.
  void FlushChannel(TextDelta& delta);
  void Append(const std::string& text, TextDelta& delta);
  // Drops the channel's name ("thought\n") from the beginning of the reasoning.
  std::string WithoutChannelName(std::string text, bool channel_ends);

  AnswerTextOptions options_;
  IncrementalDetokenizer detokenizer_;
  StopStrings stop_;
  bool in_reasoning_ = false;
  bool name_pending_ = false;  // the channel's name was not dropped yet
  std::string channel_head_;   // text while name_pending_
  int64_t num_tokens_ = 0;
  int64_t reasoning_tokens_ = 0;
};

}  // namespace talon

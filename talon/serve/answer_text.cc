#include "talon/serve/answer_text.h"

#include <string_view>
#include <utility>

namespace talon {
namespace {

constexpr std::string_view kChannelName = "thought\n";

}  // namespace

std::optional<ReasoningMarkers> FindReasoningMarkers(const Tokenizer& tokenizer) {
  const auto open = tokenizer.TokenToId("<|channel>");
  const auto close = tokenizer.TokenToId("<channel|>");
  if (!open || !close) return std::nullopt;
  return ReasoningMarkers{*open, *close};
}

AnswerText::AnswerText(const Tokenizer& tokenizer, AnswerTextOptions options)
    : options_(std::move(options)),
      detokenizer_(tokenizer, options_.skip_special_tokens),
      stop_(options_.stop, options_.include_stop_str_in_output),
      in_reasoning_(options_.starts_in_reasoning),
      name_pending_(options_.starts_in_reasoning) {}

std::string AnswerText::WithoutChannelName(std::string text, bool channel_ends) {
  if (!name_pending_) return text;
  channel_head_ += text;
  const bool part_of_name = kChannelName.starts_with(channel_head_);
  if (part_of_name && !channel_ends && channel_head_.size() < kChannelName.size()) return "";
  name_pending_ = false;
  std::string rest = std::exchange(channel_head_, "");
  if (part_of_name) return "";
  return rest.starts_with(kChannelName) ? rest.substr(kChannelName.size()) : rest;
}

void AnswerText::Append(const std::string& text, TextDelta& delta) {
  (in_reasoning_ ? delta.reasoning : delta.content) += text;
}

std::string AnswerText::PushToStop(const std::string& text) {
  return num_tokens_ > options_.min_tokens ? stop_.Push(text) : stop_.PushExempt(text);
}

void AnswerText::FlushChannel(TextDelta& delta) {
  Append(PushToStop(WithoutChannelName(detokenizer_.Finish(), /*channel_ends=*/true)), delta);
  if (!stop_.found()) Append(stop_.Finish(), delta);
}

TextDelta AnswerText::Push(int32_t id) {
  TextDelta delta;
  if (stop_.found()) return delta;
  ++num_tokens_;
  const bool opens = options_.reasoning && id == options_.reasoning->open;
  const bool closes = options_.reasoning && id == options_.reasoning->close;
  if (opens || closes) {
    FlushChannel(delta);
    if (stop_.found()) return delta;
    in_reasoning_ = opens;
    name_pending_ = opens;
    return delta;
  }
  if (in_reasoning_) ++reasoning_tokens_;
  Append(PushToStop(WithoutChannelName(detokenizer_.Push(id), /*channel_ends=*/false)), delta);
  return delta;
}

TextDelta AnswerText::Finish() {
  TextDelta delta;
  if (!stop_.found()) FlushChannel(delta);
  return delta;
}

}  // namespace talon

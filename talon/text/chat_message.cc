#include "talon/text/chat_message.h"

#include <algorithm>

#include "talon/base/error.h"
#include "talon/text/jinja_text.h"

namespace talon {

const Json* FindField(const Json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto field = object.find(name);
  return field == object.end() ? nullptr : &*field;
}

const Json* FindSet(const Json& object, const char* name) {
  const Json* field = FindField(object, name);
  return field == nullptr || field->is_null() ? nullptr : field;
}

const std::string& RequireString(const Json& object, const char* name, const std::string& path) {
  const Json* field = FindSet(object, name);
  if (field == nullptr) {
    Throw(ErrorCode::kInvalidArgument, "{}.{} is missing; expected a string", path, name);
  }
  if (!field->is_string()) {
    Throw(ErrorCode::kInvalidArgument, "{}.{} is not a string", path, name);
  }
  return field->get_ref<const std::string&>();
}

ChatMessage::ChatMessage(const Json& json, size_t index, const std::vector<std::string_view>& roles)
    : json_(&json), index_(index) {
  const std::string path = fmt::format("messages[{}]", index);
  if (!json.is_object()) Throw(ErrorCode::kInvalidArgument, "{} is not an object", path);
  role_ = RequireString(json, "role", path);
  if (std::find(roles.begin(), roles.end(), role_) == roles.end()) {
    Throw(ErrorCode::kInvalidArgument, "{}.role is '{}'; expected one of {}", path, role_,
          fmt::join(roles, ", "));
  }
}

std::string ChatMessage::Path(std::string_view name) const {
  return fmt::format("messages[{}].{}", index_, name);
}

bool ChatMessage::HasContent() const { return JinjaTruth(FindField(*json_, "content")); }

std::vector<std::string_view> ChatMessage::ContentTexts() const {
  const Json* content = FindSet(*json_, "content");
  if (content == nullptr) Throw(ErrorCode::kInvalidArgument, "{} is missing", Path("content"));
  if (content->is_string()) return {content->get_ref<const std::string&>()};
  if (!content->is_array()) {
    Throw(ErrorCode::kInvalidArgument, "{} is neither a string nor a list of parts",
          Path("content"));
  }
  std::vector<std::string_view> texts;
  for (const Json& part : *content) {
    const std::string path = Path(fmt::format("content[{}]", texts.size()));
    const std::string& type = RequireString(part, "type", path);
    if (type != "text") {
      Throw(ErrorCode::kInvalidArgument, "{}.type is '{}'; Talon reads only 'text' parts", path,
            type);
    }
    texts.push_back(RequireString(part, "text", path));
  }
  return texts;
}

std::string ChatMessage::TrimmedContent() const {
  std::string text;
  for (const std::string_view part : ContentTexts()) text += JinjaTrim(part);
  return text;
}

std::vector<ChatMessage> CheckMessages(const Json& messages,
                                       const std::vector<std::string_view>& roles) {
  if (!messages.is_array() || messages.empty()) {
    Throw(ErrorCode::kInvalidArgument, "messages is not a list of at least one message");
  }
  std::vector<ChatMessage> checked;
  for (const Json& message : messages) checked.emplace_back(message, checked.size(), roles);
  return checked;
}

}  // namespace talon

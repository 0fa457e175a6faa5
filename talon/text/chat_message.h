// Checked access to OpenAI-style messages; errors name the message and field
// ("messages[2].content").
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "talon/base/json.h"

namespace talon {

// The field of an object; nullptr when `object` is none or has no such field.
const Json* FindField(const Json& object, const char* name);

// As FindField, and null counts as missing.
const Json* FindSet(const Json& object, const char* name);

class ChatMessage {
 public:
  // Throws kInvalidArgument unless `json` is an object whose role is one of `roles`.
  ChatMessage(const Json& json, size_t index, const std::vector<std::string_view>& roles);

  const std::string& role() const { return role_; }
  bool IsSystem() const { return role_ == "system" || role_ == "developer"; }
  const Json& json() const { return *json_; }
  // "messages[2].NAME"
  std::string Path(std::string_view name) const;

  // Content that is present, not null and not empty.
  bool HasContent() const;
  // The texts of the content: itself, or its parts'. Parts that are not text are refused by name.
  // Throws when the content is missing, null or neither a string nor a list of parts.
  std::vector<std::string_view> ContentTexts() const;
  // The content's texts, each trimmed, joined: what the published templates do.
  std::string TrimmedContent() const;

 private:
  const Json* json_;
  size_t index_;
  std::string role_;
};

// All messages; throws kInvalidArgument unless `messages` is a list of at least one.
std::vector<ChatMessage> CheckMessages(const Json& messages,
                                       const std::vector<std::string_view>& roles);

// The string field `name` of `object`, which `path` names in errors.
const std::string& RequireString(const Json& object, const char* name, const std::string& path);

}  // namespace talon

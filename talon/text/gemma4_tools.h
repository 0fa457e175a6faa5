// Tools in the Gemma 4 chat format: declarations, calls and responses, in the notation
// name{key:value,...} whose strings stand between <|"|>. Source: specs/gemma.md 4.6.
#pragma once

#include <string>

#include "talon/base/json.h"

namespace talon {

// `tool` is an OpenAI tool ({type, function: {name, description, parameters}}); `path` names it in
// errors ("tools[0]").
std::string Gemma4ToolDeclaration(const Json& tool, const std::string& path);

// `call` is an OpenAI tool call; its arguments are an object, or a string that holds one.
std::string Gemma4ToolCall(const Json& call, const std::string& path);

// `response` is an object, or any value, which is then called "value".
std::string Gemma4ToolResponse(const std::string& name, const Json& response,
                               const std::string& path);

}  // namespace talon

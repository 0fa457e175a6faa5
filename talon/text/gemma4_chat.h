// Gemma 4: <|turn>ROLE, the text, <turn|>, with a system turn that switches thinking on and
// declares tools; calls and their results stay inside one model turn. Source: specs/gemma.md 4.6.
#pragma once

#include <string>

#include "talon/text/chat.h"

namespace talon {

// `empty_thought`: the large models' generation prompt closes a thought at once when thinking is
// off.
std::string RenderGemma4Chat(const Json& messages, const ChatOptions& options, bool empty_thought);

}  // namespace talon

// Gemma 3: <start_of_turn>ROLE, the text, <end_of_turn>; system text opens the first user turn.
// Source: specs/gemma.md 4.7.
#pragma once

#include <string>

#include "talon/text/chat.h"

namespace talon {

// Roles must alternate, user first. Tools and thinking are refused: the format has neither.
std::string RenderGemma3Chat(const Json& messages, const ChatOptions& options);

}  // namespace talon

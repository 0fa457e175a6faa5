// Recognizes the chat format by strings that only its template holds.
#include "talon/base/error.h"
#include "talon/text/chat.h"

namespace talon {
namespace {

bool Holds(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// The empty thought as a template spells it: with an escaped or a real line break.
bool AppendsEmptyThought(std::string_view text) {
  const size_t prompt = text.find("add_generation_prompt");
  if (prompt == std::string_view::npos) return false;
  text = text.substr(prompt);
  return Holds(text, "<|channel>thought\\n<channel|>") ||
         Holds(text, "<|channel>thought\n<channel|>");
}

std::optional<ChatFormat> Recognize(std::string_view text) {
  if (Holds(text, "<|turn>") && Holds(text, "<turn|>")) {
    return AppendsEmptyThought(text) ? ChatFormat::kGemma4EmptyThought : ChatFormat::kGemma4;
  }
  // Gemma 2 (no system text) and FunctionGemma (tools) share Gemma 3's turn markers.
  const bool relative =
      Holds(text, "System role not supported") || Holds(text, "<start_function_declaration>");
  if (Holds(text, "<start_of_turn>") && Holds(text, "<end_of_turn>") && !relative) {
    return ChatFormat::kGemma3;
  }
  return std::nullopt;
}

// The field chat_template: a string, or a list of {name, template} of which "default" counts.
std::optional<std::string> TemplateOfConfig(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  const Json config = ReadJsonFile(path);
  const auto field = config.is_object() ? config.find("chat_template") : config.end();
  if (field == config.end() || field->is_null()) return std::nullopt;
  if (field->is_string()) return field->get<std::string>();
  if (field->is_array()) {
    for (const Json& entry : *field) {
      if (entry.is_object() && entry.value("name", Json()) == "default" &&
          entry.value("template", Json()).is_string()) {
        return entry.at("template").get<std::string>();
      }
    }
  }
  Throw(ErrorCode::kDataLoss,
        "{}: field 'chat_template' is neither a string nor a list with a template named 'default'",
        path.string());
}

}  // namespace

std::optional<ChatFormat> DetectChatFormat(const std::filesystem::path& model_directory) {
  std::filesystem::path source = model_directory / "chat_template.jinja";
  std::optional<std::string> text;
  if (std::filesystem::exists(source)) text = ReadTextFile(source);
  for (const char* name : {"tokenizer_config.json", "chat_template.json"}) {
    if (text) break;
    source = model_directory / name;
    text = TemplateOfConfig(source);
  }
  if (!text) return std::nullopt;
  const auto format = Recognize(*text);
  if (!format) {
    Throw(ErrorCode::kUnsupported,
          "{}: the chat template is none that Talon knows; name the format with --chat-format "
          "gemma3, gemma4 or gemma4-empty-thought",
          source.string());
  }
  return format;
}

}  // namespace talon

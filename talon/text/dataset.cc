#include "talon/text/dataset.h"

#include <simdjson.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "talon/base/error.h"
#include "talon/base/mapped_file.h"
#include "talon/text/chat_message.h"

namespace talon {
namespace {

// One row and where it stands.
struct Row {
  Json fields;
  std::string place;  // "FILE:LINE"
  std::string id;
  std::string stem;  // of the file
};

std::string RowId(const Row& row, size_t line) {
  const Json* id = FindSet(row.fields, "id");
  if (id == nullptr) return fmt::format("{}:{}", row.stem, line);
  if (!id->is_string() && !id->is_number_integer()) {
    Throw(ErrorCode::kDataLoss, "{}: field 'id' is neither a string nor an integer", row.place);
  }
  return id->is_string() ? id->get<std::string>() : id->dump();
}

Row ParseRow(std::string_view text, const std::filesystem::path& source, size_t line) {
  Row row;
  row.place = fmt::format("{}:{}", source.string(), line);
  row.stem = source.stem().string();
  if (!simdjson::validate_utf8(text.data(), text.size())) {
    Throw(ErrorCode::kDataLoss, "{}: not valid UTF-8", row.place);
  }
  row.fields = ParseJson(text, row.place);
  if (!row.fields.is_object()) {
    Throw(ErrorCode::kDataLoss, "{}: not a JSON object; every line must hold one", row.place);
  }
  row.id = RowId(row, line);
  return row;
}

// Calls `use` for each row, at most `max_rows` of them.
void ForRows(std::string_view text, const std::filesystem::path& source, size_t max_rows,
             const std::function<void(Row)>& use) {
  size_t rows = 0;
  for (size_t line = 1; !text.empty() && rows < max_rows; ++line) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view row = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (row.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    use(ParseRow(row, source, line));
    ++rows;
  }
  if (rows == 0 && max_rows > 0) {
    Throw(ErrorCode::kDataLoss, "{}: holds no rows; expected one JSON object a line",
          source.string());
  }
}

// Throws, naming the row, unless `messages` is what the chat formats read.
void CheckChat(const Json& messages, const std::string& place) {
  try {
    for (const ChatMessage& message :
         CheckMessages(messages, {"system", "developer", "user", "assistant", "tool"})) {
      if (message.HasContent() && message.role() != "tool") message.ContentTexts();
    }
  } catch (const Error& error) {
    Throw(ErrorCode::kDataLoss, "{}: {}", place, error.what());
  }
}

// ShareGPT: [{from: human|gpt|system, value}].
Json FromShareGpt(const Json& turns, const std::string& place) {
  if (!turns.is_array() || turns.empty()) {
    Throw(ErrorCode::kDataLoss, "{}: field 'conversations' is not a list of at least one turn",
          place);
  }
  static const std::vector<std::pair<std::string_view, std::string_view>> kRoles = {
      {"human", "user"},          {"user", "user"},       {"gpt", "assistant"},
      {"assistant", "assistant"}, {"model", "assistant"}, {"system", "system"}};
  Json messages = Json::array();
  for (const Json& turn : turns) {
    const std::string path = fmt::format("{}: conversations[{}]", place, messages.size());
    const Json* from = FindSet(turn, "from");
    const Json* value = FindSet(turn, "value");
    if (from == nullptr || !from->is_string() || value == nullptr || !value->is_string()) {
      Throw(ErrorCode::kDataLoss, "{}: is not {{from, value}} with two strings", path);
    }
    const auto& name = from->get_ref<const std::string&>();
    const auto role = std::find_if(kRoles.begin(), kRoles.end(),
                                   [&](const auto& entry) { return entry.first == name; });
    if (role == kRoles.end()) {
      Throw(ErrorCode::kDataLoss, "{}.from is '{}'; expected human, gpt or system", path, name);
    }
    messages.push_back({{"role", role->second}, {"content", *value}});
  }
  return messages;
}

std::string_view Text(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

std::vector<std::string> ReadTurns(const Json& turns, const std::string& place) {
  if (!turns.is_array() || turns.empty()) {
    Throw(ErrorCode::kDataLoss, "{}: field 'turns' is not a list of at least one string", place);
  }
  std::vector<std::string> texts;
  for (const Json& turn : turns) {
    if (!turn.is_string()) {
      Throw(ErrorCode::kDataLoss, "{}: turns[{}] is not a string", place, texts.size());
    }
    texts.push_back(turn.get<std::string>());
  }
  return texts;
}

PromptRow ReadPrompt(Row row) {
  PromptRow prompt = {.id = std::move(row.id), .category = row.stem, .turns = {}, .messages = {}};
  if (const Json* category = FindSet(row.fields, "category")) {
    if (!category->is_string()) {
      Throw(ErrorCode::kDataLoss, "{}: field 'category' is not a string", row.place);
    }
    prompt.category = category->get<std::string>();
  }
  if (const Json* turns = FindSet(row.fields, "turns")) {
    prompt.turns = ReadTurns(*turns, row.place);
  } else if (const Json* text = FindSet(row.fields, "prompt")) {
    if (!text->is_string()) {
      Throw(ErrorCode::kDataLoss, "{}: field 'prompt' is not a string", row.place);
    }
    prompt.turns = {text->get<std::string>()};
  } else if (const Json* messages = FindSet(row.fields, "messages")) {
    CheckChat(*messages, row.place);
    prompt.messages = *messages;
  } else {
    Throw(ErrorCode::kDataLoss, "{}: holds none of the fields 'turns', 'prompt', 'messages'",
          row.place);
  }
  return prompt;
}

// The .jsonl files of a folder, by name.
std::vector<std::filesystem::path> JsonlFiles(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".jsonl") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  if (files.empty()) {
    Throw(ErrorCode::kNotFound, "{}: the folder holds no .jsonl file", folder.string());
  }
  return files;
}

}  // namespace

std::vector<Conversation> ParseConversations(std::string_view text,
                                             const std::filesystem::path& source, size_t max_rows) {
  std::vector<Conversation> conversations;
  ForRows(text, source, max_rows, [&](Row row) {
    Json messages;
    if (const Json* given = FindSet(row.fields, "messages")) {
      messages = *given;
    } else if (const Json* turns = FindSet(row.fields, "conversations")) {
      messages = FromShareGpt(*turns, row.place);
    } else {
      Throw(ErrorCode::kDataLoss, "{}: holds neither field 'messages' nor 'conversations'",
            row.place);
    }
    CheckChat(messages, row.place);
    conversations.push_back({std::move(row.id), std::move(messages)});
  });
  return conversations;
}

std::vector<Conversation> ReadConversations(const std::filesystem::path& path, size_t max_rows) {
  const MappedFile file(path);
  return ParseConversations(Text(file), path, max_rows);
}

std::vector<PromptRow> ParsePrompts(std::string_view text, const std::filesystem::path& source) {
  std::vector<PromptRow> prompts;
  ForRows(text, source, std::numeric_limits<size_t>::max(),
          [&](Row row) { prompts.push_back(ReadPrompt(std::move(row))); });
  return prompts;
}

std::vector<PromptRow> ReadPrompts(const std::filesystem::path& path) {
  if (!std::filesystem::is_directory(path)) {
    const MappedFile file(path);
    return ParsePrompts(Text(file), path);
  }
  std::vector<PromptRow> prompts;
  for (const auto& name : JsonlFiles(path)) {
    const MappedFile file(name);
    for (PromptRow& row : ParsePrompts(Text(file), name)) prompts.push_back(std::move(row));
  }
  return prompts;
}

}  // namespace talon

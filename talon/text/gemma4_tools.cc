#include "talon/text/gemma4_tools.h"

#include "talon/base/error.h"
#include "talon/text/chat_message.h"
#include "talon/text/jinja_text.h"

namespace talon {
namespace {

std::string Quote(std::string_view text) { return fmt::format("<|\"|>{}<|\"|>", text); }

enum class Keys { kBare, kQuoted };

std::string Value(const Json& value, Keys keys, const std::string& path);

// key:value of every field, by name.
std::string Fields(const Json& object, Keys keys, const std::string& path) {
  std::string text;
  for (const auto& [key, value] : JinjaDictSort(object)) {
    if (!text.empty()) text += ",";
    text +=
        (keys == Keys::kQuoted ? Quote(key) : std::string(key)) + ":" + Value(*value, keys, path);
  }
  return text;
}

std::string Value(const Json& value, Keys keys, const std::string& path) {
  if (value.is_string()) return Quote(value.get_ref<const std::string&>());
  if (value.is_boolean()) return value.get<bool>() ? "true" : "false";
  if (value.is_object()) return fmt::format("{{{}}}", Fields(value, keys, path));
  if (!value.is_array()) return JinjaPrint(value, path);
  std::string text;
  for (const Json& item : value) {
    if (!text.empty()) text += ",";
    text += Value(item, keys, path);
  }
  return fmt::format("[{}]", text);
}

// The type of a schema in capitals; "" when it has none.
std::string UpperType(const Json& schema, const std::string& path) {
  const Json* type = FindField(schema, "type");
  return type == nullptr ? "" : JinjaUpper(JinjaPrint(*type, path + ".type"));
}

std::string QuotedList(const Json& list, const std::string& path) {
  if (!list.is_array()) Throw(ErrorCode::kInvalidArgument, "{} is not a list", path);
  std::string text;
  for (const Json& item : list) {
    if (!text.empty()) text += ",";
    text += Quote(JinjaPrint(item, path));
  }
  return fmt::format("[{}]", text);
}

// Collects the entries of one {...}, separated by commas.
class Entries {
 public:
  void Add(std::string_view name, std::string_view value) {
    if (!text_.empty()) text_ += ",";
    text_ += fmt::format("{}:{}", name, value);
  }
  std::string Braced() const { return fmt::format("{{{}}}", text_); }

 private:
  std::string text_;
};

std::string Properties(const Json& properties, const std::string& path);

// The schema of an array's elements.
std::string Items(const Json& items, const std::string& path) {
  Entries entries;
  for (const auto& [key, value] : JinjaDictSort(items)) {
    if (value->is_null()) continue;
    if (key == "properties") {
      entries.Add(key, value->is_object() ? Properties(*value, path + ".properties") : "{}");
    } else if (key == "required") {
      entries.Add(key, QuotedList(*value, path + ".required"));
    } else if (key == "type" && value->is_array()) {
      Json types = Json::array();
      for (const Json& type : *value) types.push_back(JinjaUpper(JinjaPrint(type, path + ".type")));
      entries.Add(key, Value(types, Keys::kQuoted, path));
    } else if (key == "type") {
      entries.Add(key, Quote(UpperType(items, path)));
    } else {
      entries.Add(key, Value(*value, Keys::kQuoted, path));
    }
  }
  return entries.Braced();
}

// One property: description, then what its type has to say, then the type.
std::string Property(const Json& schema, const std::string& path) {
  const std::string type = UpperType(schema, path);
  Entries entries;
  if (const Json* description = FindField(schema, "description"); JinjaTruth(description)) {
    entries.Add("description", Quote(JinjaPrint(*description, path + ".description")));
  }
  if (const Json* choices = FindField(schema, "enum"); type == "STRING" && JinjaTruth(choices)) {
    entries.Add("enum", Value(*choices, Keys::kQuoted, path));
  }
  if (const Json* items = FindField(schema, "items");
      type == "ARRAY" && items != nullptr && items->is_object() && !items->empty()) {
    entries.Add("items", Items(*items, path + ".items"));
  }
  if (JinjaTruth(FindField(schema, "nullable"))) entries.Add("nullable", "true");
  if (type == "OBJECT") {
    // Without properties of its own, an object's other fields are taken for them.
    const Json* properties = FindField(schema, "properties");
    const bool has_own = properties != nullptr && properties->is_object();
    entries.Add("properties", Properties(has_own ? *properties : schema, path));
    if (const Json* required = FindField(schema, "required"); JinjaTruth(required)) {
      entries.Add("required", QuotedList(*required, path + ".required"));
    }
  }
  entries.Add("type", Quote(type));
  return entries.Braced();
}

// Properties by name. Those called like a field of a schema are left out.
std::string Properties(const Json& properties, const std::string& path) {
  if (!properties.is_object()) Throw(ErrorCode::kInvalidArgument, "{} is not an object", path);
  Entries entries;
  for (const auto& [key, value] : JinjaDictSort(properties)) {
    if (key == "description" || key == "type" || key == "properties" || key == "required" ||
        key == "nullable") {
      continue;
    }
    entries.Add(key, Property(*value, fmt::format("{}.{}", path, key)));
  }
  return entries.Braced();
}

// The brace closes with the type; a schema without one leaves it open, as the template does.
std::string Parameters(const Json& schema, const std::string& path) {
  std::string text = ",parameters:{";
  if (const Json* properties = FindField(schema, "properties"); JinjaTruth(properties)) {
    text += "properties:" + Properties(*properties, path + ".properties") + ",";
  }
  if (const Json* required = FindField(schema, "required"); JinjaTruth(required)) {
    text += "required:" + QuotedList(*required, path + ".required") + ",";
  }
  if (JinjaTruth(FindField(schema, "type"))) text += "type:" + Quote(UpperType(schema, path)) + "}";
  return text;
}

std::string Response(const Json& schema, const std::string& path) {
  std::string text = ",response:{";
  if (const Json* description = FindField(schema, "description"); JinjaTruth(description)) {
    text += "description:" + Quote(JinjaPrint(*description, path + ".description")) + ",";
  }
  if (UpperType(schema, path) == "OBJECT") text += "type:" + Quote("OBJECT") + "}";
  return text;
}

const Json& Function(const Json& tool, const std::string& path) {
  const Json* function = FindField(tool, "function");
  if (function == nullptr || !function->is_object()) {
    Throw(ErrorCode::kInvalidArgument, "{}.function is not an object", path);
  }
  return *function;
}

// OpenAI clients send arguments as a string that holds JSON.
Json Arguments(const Json* given, const std::string& path) {
  if (given == nullptr) return Json::object();
  if (!given->is_string()) return *given;
  const std::string& text = given->get_ref<const std::string&>();
  if (text.empty()) return Json::object();
  try {
    return ParseJson(text, path);
  } catch (const Error& error) {
    throw Error(ErrorCode::kInvalidArgument, error.what());
  }
}

}  // namespace

std::string Gemma4ToolDeclaration(const Json& tool, const std::string& path) {
  const Json& function = Function(tool, path);
  const std::string function_path = path + ".function";
  std::string text = "declaration:" + RequireString(function, "name", function_path);
  const Json* description = FindField(function, "description");
  text +=
      "{description:" +
      Quote(description == nullptr ? "" : JinjaPrint(*description, function_path + ".description"));
  if (const Json* parameters = FindField(function, "parameters"); JinjaTruth(parameters)) {
    text += Parameters(*parameters, function_path + ".parameters");
  }
  if (const Json* response = FindField(function, "response"); response != nullptr) {
    text += Response(*response, function_path + ".response");
  }
  return text + "}";
}

std::string Gemma4ToolCall(const Json& call, const std::string& path) {
  const Json& function = Function(call, path);
  const std::string& name = RequireString(function, "name", path + ".function");
  const std::string arguments_path = path + ".function.arguments";
  const Json arguments = Arguments(FindSet(function, "arguments"), arguments_path);
  if (!arguments.is_object()) {
    Throw(ErrorCode::kInvalidArgument, "{} is neither an object nor a string that holds one",
          arguments_path);
  }
  return fmt::format("call:{}{{{}}}", name, Fields(arguments, Keys::kBare, arguments_path));
}

std::string Gemma4ToolResponse(const std::string& name, const Json& response,
                               const std::string& path) {
  return fmt::format("response:{}{{{}}}", name,
                     response.is_object() ? Fields(response, Keys::kBare, path)
                                          : "value:" + Value(response, Keys::kBare, path));
}

}  // namespace talon

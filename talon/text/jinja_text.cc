#include "talon/text/jinja_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "talon/base/error.h"
#include "talon/text/utf8.h"

namespace talon {
namespace {

// str.isspace() of Python for one code point.
bool IsSpace(uint32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

char LowerAscii(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
char UpperAscii(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

// Start of the character that ends at `end`.
size_t PreviousCharacter(std::string_view text, size_t end) {
  size_t begin = end - 1;
  while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
  return begin;
}

// repr() of a Python float: the shortest digits that read back the same, in positional form for
// decimal exponents from -4 to 15.
std::string PrintFloat(double value) {
  char buffer[40];
  const auto end =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific);
  std::string scientific(buffer, end.ptr);
  const size_t e = scientific.find('e');
  const int exponent = std::stoi(scientific.substr(e + 1));
  if (exponent < -4 || exponent > 15) return scientific;
  const auto fixed_end =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::fixed);
  std::string fixed(buffer, fixed_end.ptr);
  if (fixed.find('.') == std::string::npos) fixed += ".0";
  return fixed;
}

// repr() of a Python list of strings, for strings that need no escapes.
std::string PrintStrings(const Json& list, const std::string& path) {
  std::string text = "[";
  for (const Json& item : list) {
    if (!item.is_string()) {
      Throw(ErrorCode::kInvalidArgument, "{}: holds {}; expected strings", path, item.dump());
    }
    if (text.size() > 1) text += ", ";
    text += "'" + item.get_ref<const std::string&>() + "'";
  }
  return text + "]";
}

}  // namespace

std::string_view JinjaTrim(std::string_view text) {
  while (!text.empty()) {
    const size_t length = Utf8Length(text[0]);
    if (!IsSpace(Utf8CodePoint(text.substr(0, length)))) break;
    text.remove_prefix(length);
  }
  while (!text.empty()) {
    const size_t begin = PreviousCharacter(text, text.size());
    if (!IsSpace(Utf8CodePoint(text.substr(begin)))) break;
    text = text.substr(0, begin);
  }
  return text;
}

std::string JinjaUpper(std::string_view text) {
  std::string upper(text);
  std::transform(upper.begin(), upper.end(), upper.begin(), UpperAscii);
  return upper;
}

std::vector<std::pair<std::string_view, const Json*>> JinjaDictSort(const Json& object) {
  std::vector<std::pair<std::string_view, const Json*>> fields;
  for (const auto& field : object.items()) fields.emplace_back(field.key(), &field.value());
  std::stable_sort(fields.begin(), fields.end(), [](const auto& a, const auto& b) {
    return std::lexicographical_compare(a.first.begin(), a.first.end(), b.first.begin(),
                                        b.first.end(), [](char x, char y) {
                                          return static_cast<unsigned char>(LowerAscii(x)) <
                                                 static_cast<unsigned char>(LowerAscii(y));
                                        });
  });
  return fields;
}

std::string JinjaPrint(const Json& value, const std::string& path) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_null()) return "None";
  if (value.is_boolean()) return value.get<bool>() ? "True" : "False";
  if (value.is_number_float()) return PrintFloat(value.get<double>());
  if (value.is_number()) return value.dump();
  if (value.is_array()) return PrintStrings(value, path);
  Throw(ErrorCode::kInvalidArgument, "{}: is an object; expected text", path);
}

bool JinjaTruth(const Json* value) {
  if (value == nullptr || value->is_null()) return false;
  if (value->is_boolean()) return value->get<bool>();
  if (value->is_string()) return !value->get_ref<const std::string&>().empty();
  if (value->is_number()) return value->get<double>() != 0;
  return !value->empty();
}

}  // namespace talon

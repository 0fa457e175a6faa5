// Text rules of Jinja and Python against what Python 3.11 prints.
#include "talon/text/jinja_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "talon/base/error.h"

namespace talon {
namespace {

TEST(JinjaTextTest, TrimStripsPythonWhiteSpace) {
  EXPECT_EQ(JinjaTrim(" \t\n\v\f\r\x1c\x1d\x1e\x1f a b\u0085\u00a0\u1680\u2000\u200a\u2028\u3000"),
            "a b");
  EXPECT_EQ(JinjaTrim("\u200bx\ufeff"), "\u200bx\ufeff");  // neither is white space
  EXPECT_EQ(JinjaTrim(" \u3000 "), "");
  EXPECT_EQ(JinjaTrim(""), "");
  EXPECT_EQ(JinjaTrim("😀"), "😀");
}

TEST(JinjaTextTest, PrintsNumbersAsPythonDoes) {
  const std::vector<std::pair<const char*, const char*>> cases = {
      {"1", "1"},           {"-5", "-5"},
      {"30.5", "30.5"},     {"1.0", "1.0"},
      {"-0.0", "-0.0"},     {"1e-4", "0.0001"},
      {"1e-5", "1e-05"},    {"1e15", "1000000000000000.0"},
      {"1e16", "1e+16"},    {"1e22", "1e+22"},
      {"1e100", "1e+100"},  {"0.1", "0.1"},
      {"5e-324", "5e-324"}, {"123456789012345.6", "123456789012345.6"},
      {"true", "True"},     {"null", "None"},
      {"\"a\"", "a"},       {R"(["a", "b"])", "['a', 'b']"}};
  for (const auto& [json, printed] : cases) {
    EXPECT_EQ(JinjaPrint(Json::parse(json), "field"), printed);
  }
  EXPECT_THROW(JinjaPrint(Json::parse("{}"), "field"), Error);
  EXPECT_THROW(JinjaPrint(Json::parse("[1]"), "field"), Error);
}

TEST(JinjaTextTest, DictSortIgnoresCaseAndIsStable) {
  const Json object = Json::parse(R"({"b": 1, "_": 2, "B": 3, "a": 4, "é": 5, "C": 6})");
  std::vector<std::string> names;
  for (const auto& [name, value] : JinjaDictSort(object)) names.emplace_back(name);
  EXPECT_THAT(names, testing::ElementsAre("_", "a", "b", "B", "C", "é"));
}

TEST(JinjaTextTest, Truth) {
  for (const char* json : {"null", "false", "0", "0.0", "\"\"", "[]", "{}"}) {
    const Json value = Json::parse(json);
    EXPECT_FALSE(JinjaTruth(&value)) << json;
  }
  for (const char* json : {"true", "-1", "0.5", "\" \"", "[0]", "{\"a\": 0}"}) {
    const Json value = Json::parse(json);
    EXPECT_TRUE(JinjaTruth(&value)) << json;
  }
  EXPECT_FALSE(JinjaTruth(nullptr));
}

}  // namespace
}  // namespace talon

// JSON from untrusted files: values, key order, and errors that name the source and the place.
#include "talon/base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "tests/support/error_matchers.h"
#include "tests/support/test_data.h"

namespace talon {
namespace {

using test::ErrorOf;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

std::string ParseError(const std::string& text) {
  return ErrorOf(ErrorCode::kDataLoss, [&] { ParseJson(text, "config.json"); });
}

std::string Nested(int depth) {
  const auto n = static_cast<size_t>(depth);
  return std::string(n, '[') + std::string(n, ']');
}

TEST(JsonTest, KeepsValuesAndTheOrderOfKeys) {
  const Json value = ParseJson(R"({"z": [1, -2.5, true, null], "a": "\u00e9\ud83d\ude00"})", "x");
  EXPECT_EQ(value.begin().key(), "z");
  EXPECT_EQ(value["z"][0].get<int>(), 1);
  EXPECT_EQ(value["z"][1].get<double>(), -2.5);
  EXPECT_TRUE(value["z"][3].is_null());
  EXPECT_EQ(value["a"].get<std::string>(), "\xc3\xa9\xf0\x9f\x98\x80");
}

TEST(JsonTest, SyntaxErrorsNameSourceAndPlace) {
  EXPECT_THAT(ParseError("{\n  \"a\": 1,\n  oops\n}"),
              StartsWith("config.json: not valid JSON: parse error at line 3, column 3"));
  EXPECT_THAT(ParseError(""), HasSubstr("unexpected end of input"));
  EXPECT_THAT(ParseError("[1, 2"), HasSubstr("line 1, column 6"));
  EXPECT_THAT(ParseError("{} {}"), HasSubstr("line 1, column 4"));
  EXPECT_THAT(ParseError("[1e999]"), HasSubstr("number overflow"));
  EXPECT_THAT(ParseError("[NaN]"), HasSubstr("line 1, column 2"));
}

TEST(JsonTest, RefusesMalformedUtf8) {
  // A lone continuation byte, an overlong slash, a surrogate, a cut sequence, above U+10FFFF.
  for (const char* bytes : {"\x80", "\xc0\xaf", "\xed\xa0\x80", "\xe2\x82", "\xf4\x90\x80\x80"}) {
    EXPECT_THAT(ParseError(std::string("[\"") + bytes + "\"]"),
                AllOf(StartsWith("config.json: not valid JSON"), HasSubstr("UTF-8")));
  }
  EXPECT_THAT(ParseError(R"(["\ud800"])"), HasSubstr("surrogate"));
}

TEST(JsonTest, LimitsDepthWithoutRecursing) {
  EXPECT_NO_THROW(ParseJson(Nested(128), "x"));
  EXPECT_THAT(ParseError(Nested(129)), HasSubstr("nested deeper than 128 levels at byte 128"));
  EXPECT_THAT(ParseError(std::string(5'000'000, '[')), HasSubstr("nested deeper"));
  // Brackets inside strings, and behind escaped quotes, are no nesting.
  EXPECT_NO_THROW(ParseJson("[\"\\\"" + std::string(500, '{') + "\"]", "x"));
}

TEST(JsonTest, FilesAreNamedInErrorsAndBoundedInSize) {
  const test::TempDir folder;
  const std::filesystem::path path = folder.path() / "tokenizer.json";
  std::ofstream(path) << "[1, 2]";
  EXPECT_EQ(ReadJsonFile(path).size(), 2u);
  EXPECT_EQ(ReadTextFile(path, 6), "[1, 2]");
  EXPECT_THAT(ErrorOf(ErrorCode::kDataLoss, [&] { ReadTextFile(path, 5); }),
              AllOf(HasSubstr("tokenizer.json"), HasSubstr("6 bytes, more than the 5")));
  EXPECT_THAT(ErrorOf(ErrorCode::kNotFound, [&] { ReadJsonFile(folder.path() / "none.json"); }),
              HasSubstr("none.json"));
  std::ofstream(path) << "[1, 2";
  EXPECT_THAT(ErrorOf(ErrorCode::kDataLoss, [&] { ReadJsonFile(path); }),
              StartsWith(path.string()));
}

}  // namespace
}  // namespace talon

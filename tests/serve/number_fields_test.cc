// Every number a request may carry, with -1, 0, the largest, NaN, 1e308 and wrong types.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "talon/serve/openai_protocol.h"
#include "talon/serve/request_error.h"
#include "tests/serve/serve_fixture.h"

namespace talon {
namespace {

using testing::HasSubstr;

struct NumberField {
  std::string name;
  std::vector<std::string> accepted;  // JSON
  std::vector<std::string> refused;   // beside what no field takes
};

// What is never a number in range.
const std::vector<std::string> kNeverANumber = {"\"1\"", "\"\"", "true",  "[]",
                                                "[1]",   "{}",   "1e308", "-1e308"};
// What is no JSON at all.
const std::vector<std::string> kNoJson = {"NaN", "Infinity", "-Infinity", "1e999", "0x10", "01",
                                          "+1",  "1.",       ".5",        "--1",   ""};

const std::string kInt64Max = "9223372036854775807";
const std::string kAboveInt64 = "9223372036854775808";

// Fields of both endpoints.
const std::vector<NumberField> kShared = {
    {"temperature", {"0", "0.7", "2", "2.0", "1e-300", "null"}, {"-1", "-0.0001", "2.0001", "3"}},
    {"top_p", {"1", "0.5", "1e-9", "null"}, {"0", "0.0", "-1", "1.0001", "2"}},
    {"top_k", {"-1", "0", "64", "64.0", kInt64Max, "null"}, {"-2", "0.5", kAboveInt64}},
    {"min_p", {"0", "0.1", "1", "null"}, {"-1", "-1e-9", "1.1"}},
    {"seed",
     {"0", "-1", kInt64Max, "-9223372036854775808", "null"},
     {kAboveInt64, "-9223372036854775809", "0.5"}},
    {"n", {"1", "2", "128", "null"}, {"0", "-1", "129", "1.5", kInt64Max}},
    {"max_tokens", {"1", "100", "null"}, {"0", "-1", "1.5", kAboveInt64}},
    {"stop_token_ids", {"[]", "[0]", "[271]", "null"}, {"[-1]", "[272]", "[1.5]", "1", "[\"1\"]"}},
    {"frequency_penalty", {"0", "0.1", "-2", "2", "null"}, {"-2.01", "3"}},
    {"presence_penalty", {"0", "-0.5", "2.0", "null"}, {"2.01", "-3"}},
    {"repetition_penalty", {"1", "1.1", "0.5", "10000", "null"}, {"0", "-1", "10001", "1e-5"}},
    {"min_tokens", {"0", "1", "16", "null"}, {"-1", "0.5", kAboveInt64}},
    {"truncate_prompt_tokens", {"null"}, {"-1", "5"}},
    {"priority", {"0", "null"}, {"1", "-1"}},
    {"prompt_logprobs", {"0", "null"}, {"1", "-1"}},
};

struct EndpointUnderTest {
  const char* prompt;  // the field that every request of it needs
  std::function<GenerationSpec(const Json&, const ServedModel&)> parse;
  std::vector<NumberField> own;
};

const std::vector<EndpointUnderTest>& Endpoints() {
  static const std::vector<EndpointUnderTest> endpoints = {
      {R"("messages": [{"role": "user", "content": "hi"}])",
       ParseChatRequest,
       {{"max_completion_tokens", {"1", "100", "null"}, {"0", "-1", "1.5"}},
        {"top_logprobs", {"0", "null"}, {"1", "21", "-1"}}}},
      {R"("prompt": "hi")",
       ParseCompletionRequest,
       {{"best_of", {"1", "null"}, {"2", "0", "-1"}},
        {"logprobs", {"0", "5", "20", "null"}, {"21", "-1"}}}},
  };
  return endpoints;
}

class NumberFieldsTest : public testing::TestWithParam<size_t> {
 protected:
  // The request with one field set to a JSON value; the error's field, or "" when it is accepted.
  std::string RefusedField(const std::string& name, const std::string& value) {
    const EndpointUnderTest& endpoint = Endpoints()[GetParam()];
    const std::string body = fmt::format(R"({{{}, "{}": {}}})", endpoint.prompt, name, value);
    try {
      endpoint.parse(ParseRequestBody(body), model_);
      return "";
    } catch (const RequestError& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument) << body;
      EXPECT_THAT(error.what(), HasSubstr(error.param())) << body;
      return error.param().empty() ? "no JSON" : error.param();
    }
  }

  void Check(const NumberField& field) {
    for (const std::string& value : field.accepted) {
      EXPECT_EQ(RefusedField(field.name, value), "") << field.name << " = " << value;
    }
    std::vector<std::string> refused = field.refused;
    for (const std::string& value : kNeverANumber) {
      const bool neutral = value == "\"\"" || value == "[]" || value == "{}";
      if (!neutral) refused.push_back(value);
    }
    for (const std::string& value : refused) {
      EXPECT_THAT(RefusedField(field.name, value), testing::StartsWith(field.name))
          << field.name << " = " << value;
    }
    for (const std::string& value : kNoJson) {
      EXPECT_EQ(RefusedField(field.name, value), "no JSON") << field.name << " = " << value;
    }
  }

  test::ByteTokenizer tokenizer_;
  ServedModel model_ = test::TinyServedModel(tokenizer_);
};

TEST_P(NumberFieldsTest, SharedFields) {
  for (const NumberField& field : kShared) {
    if (field.name == "stop_token_ids") continue;  // a list: below
    Check(field);
  }
}

TEST_P(NumberFieldsTest, OwnFields) {
  for (const NumberField& field : Endpoints()[GetParam()].own) Check(field);
}

TEST_P(NumberFieldsTest, StopTokenIds) {
  const NumberField& field =
      *std::find_if(kShared.begin(), kShared.end(),
                    [](const NumberField& one) { return one.name == "stop_token_ids"; });
  for (const std::string& value : field.accepted) EXPECT_EQ(RefusedField(field.name, value), "");
  for (const std::string& value : field.refused) {
    EXPECT_THAT(RefusedField(field.name, value), testing::StartsWith("stop_token_ids")) << value;
  }
}

TEST_P(NumberFieldsTest, EmptyValuesAreNoNumbers) {
  for (const char* name : {"temperature", "top_p", "top_k", "min_p", "seed", "n", "max_tokens"}) {
    for (const char* value : {"\"\"", "[]", "{}", "false"}) {
      EXPECT_EQ(RefusedField(name, value), name) << value;
    }
  }
}

TEST_P(NumberFieldsTest, LogitBiases) {
  for (const char* value : {"0", "-100", "100", "99.5", "null"}) {
    EXPECT_EQ(RefusedField("logit_bias", fmt::format(R"({{"20": {}}})", value)), "") << value;
  }
  std::vector<std::string> refused = kNeverANumber;
  for (const char* value : {"-100.1", "101"}) refused.emplace_back(value);
  for (const std::string& value : refused) {
    EXPECT_EQ(RefusedField("logit_bias", fmt::format(R"({{"20": {}}})", value)), "logit_bias.20")
        << value;
  }
}

INSTANTIATE_TEST_SUITE_P(Endpoints, NumberFieldsTest, testing::Values(0, 1),
                         [](const auto& info) { return info.param == 0 ? "chat" : "completions"; });

// Token ids stand in lists: of /detokenize, and of prompts.
TEST(TokenIds, AreWholeNumbersOfTheVocabulary) {
  const test::ByteTokenizer tokenizer;
  const ServedModel model = test::TinyServedModel(tokenizer);
  const auto refused = [&](const char* body, const std::string& value) {
    const Json request = ParseRequestBody(fmt::format(fmt::runtime(body), value));
    try {
      if (request.contains("tokens")) {
        AnswerDetokenize(request, model);
      } else {
        ParseCompletionRequest(request, model);
      }
      return std::string();
    } catch (const RequestError& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      return error.param();
    }
  };
  std::vector<std::string> wrong = kNeverANumber;
  for (const char* value : {"-1", "272", "1.5", "null", "9223372036854775807", "2147483648",
                            "-9223372036854775808", "18446744073709551616"}) {
    wrong.emplace_back(value);
  }
  for (const std::string& value : wrong) {
    EXPECT_EQ(refused(R"({{"tokens": [2, {}]}})", value), "tokens[1]") << value;
    EXPECT_EQ(refused(R"({{"prompt": [2, {}]}})", value), "prompt[1]") << value;
  }
  for (const char* value : {"0", "271", "20.0"}) {
    EXPECT_EQ(refused(R"({{"tokens": [2, {}]}})", value), "") << value;
    EXPECT_EQ(refused(R"({{"prompt": [2, {}]}})", value), "") << value;
  }
}

}  // namespace
}  // namespace talon

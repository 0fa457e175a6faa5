// Chat and text completion requests, read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "talon/serve/openai_protocol.h"
#include "talon/serve/request_error.h"
#include "tests/serve/serve_fixture.h"

namespace talon {
namespace {

using test::ByteTokenizer;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

class RequestTest : public testing::Test {
 protected:
  GenerationSpec Chat(const Json& extra = Json::object()) {
    Json body = {{"messages", {{{"role", "user"}, {"content", "hi"}}}}};
    body.update(extra);
    return ParseChatRequest(body, model_);
  }
  GenerationSpec Complete(const Json& extra = Json::object()) {
    Json body = {{"prompt", "hi"}};
    body.update(extra);
    return ParseCompletionRequest(body, model_);
  }
  // The field that is blamed; the message goes to `message_`.
  template <typename Parse>
  std::string Blamed(const Parse& parse) {
    try {
      parse();
    } catch (const RequestError& error) {
      message_ = error.what();
      code_ = error.code();
      return error.param();
    } catch (const Error& error) {
      message_ = error.what();
      code_ = error.code();
      return "(none)";
    }
    return "(accepted)";
  }
  std::string BlamedInChat(const Json& extra) {
    return Blamed([&] { Chat(extra); });
  }
  std::string BlamedInCompletion(const Json& extra) {
    return Blamed([&] { Complete(extra); });
  }

  ByteTokenizer tokenizer_;
  ServedModel model_ = test::TinyServedModel(tokenizer_);
  std::string message_;
  ErrorCode code_ = ErrorCode::kInternal;
};

TEST_F(RequestTest, DefaultsComeFromTheServer) {
  model_.sampling = {0.8, 64, 0.95};
  GenerationSpec spec = Chat();
  EXPECT_EQ(spec.sampling.temperature, 0.8);
  EXPECT_EQ(spec.sampling.top_k, 64);
  EXPECT_EQ(spec.sampling.top_p, 0.95);
  EXPECT_EQ(spec.sampling.min_p, 0.0);
  EXPECT_EQ(spec.n, 1);
  EXPECT_FALSE(spec.seed);
  EXPECT_FALSE(spec.max_tokens);
  EXPECT_EQ(spec.model, "tiny");
  spec = Chat({{"temperature", 0}, {"top_k", -1}, {"top_p", 1.0}, {"model", "alias"}});
  EXPECT_EQ(spec.sampling.temperature, 0.0);
  EXPECT_EQ(spec.sampling.top_k, 0);
  EXPECT_EQ(spec.sampling.top_p, 1.0);
  EXPECT_EQ(spec.model, "alias");
  EXPECT_EQ(Complete().max_tokens, 16);
}

TEST_F(RequestTest, ChatIsRenderedWithOneBos) {
  const GenerationSpec spec = Chat();
  EXPECT_EQ(tokenizer_.Decode(spec.prompts.at(0), false),
            "<bos><|turn>user\nhi<turn|>\n<|turn>model\n");
}

TEST_F(RequestTest, ThinkingIsSwitchedOn) {
  const auto thinks = [this](const Json& extra) {
    return tokenizer_.Decode(Chat(extra).prompts.at(0), false).find("<|think|>") !=
           std::string::npos;
  };
  EXPECT_FALSE(thinks(Json::object()));
  EXPECT_TRUE(thinks({{"chat_template_kwargs", {{"enable_thinking", true}}}}));
  EXPECT_FALSE(thinks({{"chat_template_kwargs", {{"enable_thinking", false}}}}));
  EXPECT_TRUE(thinks({{"reasoning_effort", "high"}}));
  EXPECT_FALSE(thinks({{"reasoning_effort", "none"}}));
  EXPECT_EQ(BlamedInChat({{"reasoning_effort", "much"}}), "reasoning_effort");
  EXPECT_EQ(BlamedInChat({{"chat_template_kwargs", {{"enable_thnking", true}}}}),
            "chat_template_kwargs.enable_thnking");
  EXPECT_THAT(message_, HasSubstr("'enable_thinking'"));
}

TEST_F(RequestTest, CompletionPromptsOfEveryKind) {
  EXPECT_THAT(Complete().prompts.at(0), ElementsAre(2, 16 + 'h', 16 + 'i'));
  EXPECT_THAT(Complete({{"add_special_tokens", false}}).prompts.at(0),
              ElementsAre(16 + 'h', 16 + 'i'));
  EXPECT_THAT(Complete({{"prompt", {2, 20, 21}}}).prompts.at(0), ElementsAre(2, 20, 21));
  EXPECT_EQ(Complete({{"prompt", {"a", "b"}}}).prompts.size(), 2u);
  const GenerationSpec lists = Complete({{"prompt", {{2, 20}, {2, 21, 22}}}});
  EXPECT_THAT(lists.prompts, ElementsAre(ElementsAre(2, 20), ElementsAre(2, 21, 22)));
}

TEST_F(RequestTest, CompletionPromptsThatAreNone) {
  EXPECT_EQ(BlamedInCompletion({{"prompt", Json::array()}}), "prompt");
  EXPECT_EQ(BlamedInCompletion({{"prompt", 5}}), "prompt");
  EXPECT_EQ(BlamedInCompletion({{"prompt", nullptr}}), "prompt");
  EXPECT_EQ(BlamedInCompletion({{"prompt", {2, "a"}}}), "prompt[1]");
  EXPECT_EQ(BlamedInCompletion({{"prompt", {"a", 2}}}), "prompt[1]");
  EXPECT_EQ(BlamedInCompletion({{"prompt", {2, -1}}}), "prompt[1]");
  EXPECT_EQ(BlamedInCompletion({{"prompt", {2, 272}}}), "prompt[1]");
  EXPECT_EQ(BlamedInCompletion({{"prompt", Json::array({Json::array({2, 999})})}}), "prompt[0][1]");
}

TEST_F(RequestTest, PromptAndAnswerMustFitTheContext) {
  const auto blamed = [this](const Json& extra) {
    return Blamed([&] { BuildSequences(Complete(extra), model_); });
  };
  const std::string long_text(511, 'x');  // 512 tokens with BOS
  EXPECT_EQ(blamed({{"prompt", long_text}}), "prompt");
  EXPECT_EQ(blamed({{"prompt", long_text.substr(1)}, {"max_tokens", 1}}), "(accepted)");
  EXPECT_EQ(blamed({{"prompt", long_text.substr(1)}, {"max_tokens", 2}}), "max_tokens");
  EXPECT_EQ(blamed({{"max_tokens", INT64_MAX}}), "max_tokens");
  EXPECT_EQ(blamed({{"prompt", ""}, {"add_special_tokens", false}}), "prompt");
  EXPECT_EQ(BuildSequences(Chat(), model_).at(0).max_tokens,
            512 - static_cast<int64_t>(Chat().prompts.at(0).size()));
}

TEST_F(RequestTest, AnswersOfOnePromptHaveSeedsInARow) {
  const auto sequences =
      BuildSequences(Complete({{"n", 3}, {"seed", -2}, {"ignore_eos", true}}), model_);
  ASSERT_EQ(sequences.size(), 3u);
  EXPECT_EQ(sequences[0].sampling.seed, static_cast<uint64_t>(-2));
  EXPECT_EQ(sequences[1].sampling.seed, static_cast<uint64_t>(-1));
  EXPECT_EQ(sequences[2].sampling.seed, 0u);
  EXPECT_TRUE(sequences[0].stop_token_ids.empty());
  const auto stops = BuildSequences(Complete({{"stop_token_ids", {50}}}), model_);
  EXPECT_THAT(stops[0].stop_token_ids, ElementsAre(50, 1, 4));
}

TEST_F(RequestTest, StopStrings) {
  EXPECT_THAT(Chat({{"stop", "\n"}}).stop, ElementsAre("\n"));
  EXPECT_THAT(Chat({{"stop", {"a", "b"}}}).stop, ElementsAre("a", "b"));
  EXPECT_TRUE(Chat({{"stop", nullptr}}).stop.empty());
  EXPECT_EQ(BlamedInChat({{"stop", ""}}), "stop");
  EXPECT_EQ(BlamedInChat({{"stop", {"a", ""}}}), "stop[1]");
  EXPECT_EQ(BlamedInChat({{"stop", {"a", 1}}}), "stop[1]");
  EXPECT_EQ(BlamedInChat({{"stop", std::string(2000, 'x')}}), "stop");
  EXPECT_EQ(BlamedInChat({{"stop", std::vector<std::string>(65, "x")}}), "stop");
}

TEST_F(RequestTest, WhatTheServerDoesNotDoIsRefusedByName) {
  for (const char* name : {"structured_outputs", "guided_json", "bad_words", "allowed_token_ids",
                           "use_beam_search", "vllm_xargs"}) {
    EXPECT_EQ(BlamedInChat({{name, "x"}}), name);
    EXPECT_EQ(BlamedInCompletion({{name, "x"}}), name);
    EXPECT_THAT(message_, HasSubstr("not supported"));
  }
  EXPECT_EQ(BlamedInChat({{"response_format", {{"type", "json_object"}}}}), "response_format");
  EXPECT_EQ(BlamedInChat({{"response_format", {{"type", "text"}}}}), "(accepted)");
  EXPECT_EQ(BlamedInChat({{"tool_choice", "auto"}}), "tool_choice");
  EXPECT_EQ(BlamedInChat({{"tool_choice", "none"}}), "(accepted)");
  EXPECT_EQ(BlamedInChat({{"modalities", {"text", "audio"}}}), "modalities");
  EXPECT_EQ(BlamedInCompletion({{"suffix", "x"}}), "suffix");
}

TEST_F(RequestTest, LogitBiasesNameTokensByNumber) {
  const GenerationSpec spec = Chat({{"logit_bias", {{"20", 1.5}, {"271", -100}}}});
  EXPECT_THAT(spec.sampling.logit_bias,
              UnorderedElementsAre(std::pair(20, 1.5f), std::pair(271, -100.0f)));
  for (const char* key : {"272", "-1", "x", "", "020", "1.0", "99999999999999999999"}) {
    EXPECT_EQ(BlamedInChat({{"logit_bias", {{key, 1}}}}), "logit_bias") << key;
  }
  EXPECT_EQ(BlamedInChat({{"logit_bias", {{"20", 101}}}}), "logit_bias.20");
  EXPECT_EQ(BlamedInChat({{"logit_bias", {{"20", "1"}}}}), "logit_bias.20");
  EXPECT_EQ(BlamedInChat({{"logit_bias", {1, 2}}}), "logit_bias");
}

TEST_F(RequestTest, MinTokensHoldBackEndTokensEvenWhereTheyDoNotEnd) {
  const auto plain = BuildSequences(Complete({{"min_tokens", 5}}), model_);
  EXPECT_THAT(plain[0].stop_token_ids, ElementsAre(1, 4));
  EXPECT_TRUE(plain[0].held_back_token_ids.empty());
  const auto endless = BuildSequences(Complete({{"min_tokens", 5}, {"ignore_eos", true}}), model_);
  EXPECT_THAT(endless[0].held_back_token_ids, ElementsAre(1, 4));
  EXPECT_TRUE(endless[0].stop_token_ids.empty());
  EXPECT_EQ(Blamed([&] {
              BuildSequences(Complete({{"min_tokens", 5}, {"max_tokens", 4}}), model_);
            }),
            "min_tokens");
}

TEST_F(RequestTest, LogprobsOfBothEndpoints) {
  EXPECT_EQ(Chat({{"logprobs", false}}).sampling.num_logprobs, -1);
  EXPECT_EQ(Chat({{"logprobs", true}}).sampling.num_logprobs, 0);
  EXPECT_EQ(Chat({{"logprobs", true}, {"top_logprobs", 5}}).sampling.num_logprobs, 5);
  EXPECT_EQ(BlamedInChat({{"top_logprobs", 5}}), "top_logprobs");
  EXPECT_EQ(Complete({{"logprobs", 3}}).sampling.num_logprobs, 3);
  EXPECT_EQ(Complete({{"logprobs", 3}}).sampling.num_prompt_logprobs, -1);
  const GenerationSpec echo = Complete({{"logprobs", 3}, {"echo", true}, {"max_tokens", 0}});
  EXPECT_EQ(echo.sampling.num_prompt_logprobs, 3);
  EXPECT_TRUE(echo.prompt_only);
  EXPECT_EQ(BlamedInCompletion({{"max_tokens", 0}}), "max_tokens");
}

TEST_F(RequestTest, PicturesAndSoundsAreRefused) {
  for (const char* type : {"image_url", "input_audio", "video_url"}) {
    const Json part = {{"type", type}, {type, {{"url", "data:"}}}};
    BlamedInChat({{"messages", {{{"role", "user"}, {"content", Json::array({part})}}}}});
    EXPECT_EQ(code_, ErrorCode::kInvalidArgument);
    EXPECT_THAT(message_, HasSubstr(type));
  }
}

TEST_F(RequestTest, ToolsReachThePrompt) {
  const Json tool = {{"type", "function"},
                     {"function",
                      {{"name", "clock"},
                       {"description", "Tells the time"},
                       {"parameters", {{"type", "object"}, {"properties", Json::object()}}}}}};
  const GenerationSpec spec = Chat({{"tools", Json::array({tool})}});
  EXPECT_THAT(tokenizer_.Decode(spec.prompts.at(0), false), HasSubstr("declaration:clock"));
}

TEST_F(RequestTest, UnknownFieldsAreRefusedWithTheNearest) {
  EXPECT_EQ(BlamedInChat({{"temprature", 1}}), "temprature");
  EXPECT_THAT(message_, HasSubstr("'temperature'"));
  const std::string name(100'000, 'x');
  EXPECT_LT(BlamedInChat({{name, 1}}).size(), 100u);
}

TEST_F(RequestTest, UnknownModelsAreNotFound) {
  EXPECT_EQ(BlamedInChat({{"model", "gpt-4"}}), "model");
  EXPECT_EQ(code_, ErrorCode::kNotFound);
}

TEST_F(RequestTest, StreamOptionsNeedAStream) {
  const Json options = {{"include_usage", true}};
  EXPECT_EQ(BlamedInChat({{"stream_options", options}}), "stream_options");
  EXPECT_TRUE(Chat({{"stream", true}, {"stream_options", options}}).include_usage);
  EXPECT_EQ(BlamedInChat({{"stream", true}, {"stream_options", {{"include_usag", true}}}}),
            "stream_options.include_usag");
  EXPECT_EQ(BlamedInChat({{"stream", 1}}), "stream");
}

TEST_F(RequestTest, BodiesThatAreNoObjects) {
  for (const char* body : {"[]", "null", "1", "\"x\""}) {
    EXPECT_EQ(Blamed([&] { ParseChatRequest(ParseRequestBody(body), model_); }), "") << body;
    EXPECT_EQ(code_, ErrorCode::kInvalidArgument);
  }
  const std::string deep = std::string(1000, '[') + std::string(1000, ']');
  for (const std::string& body : {std::string("{"), std::string("\xff"), deep}) {
    EXPECT_EQ(Blamed([&] { ParseRequestBody(body); }), "");
    EXPECT_EQ(code_, ErrorCode::kInvalidArgument);
  }
  EXPECT_EQ(Blamed([&] { ParseChatRequest(Json::object(), model_); }), "messages");
}

}  // namespace
}  // namespace talon

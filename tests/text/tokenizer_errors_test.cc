// Malformed and unsupported tokenizer files give one clear error.
#include <gtest/gtest.h>

#include <functional>

#include "talon/base/error.h"
#include "talon/text/tokenizer.h"
#include "tests/support/test_data.h"
#include "tests/text/small_tokenizer.h"

namespace talon {
namespace {

// The error of loading the small tokenizer after `change`.
void ExpectError(ErrorCode code, const std::string& part,
                 const std::function<void(Json&)>& change) {
  SCOPED_TRACE(part);
  Json json = test::SmallTokenizerJson();
  change(json);
  try {
    Tokenizer::FromJson(json.dump(), "small.json");
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_NE(std::string(error.what()).find("small.json"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

void ExpectDataLoss(const std::string& part, const std::function<void(Json&)>& change) {
  ExpectError(ErrorCode::kDataLoss, part, change);
}

void ExpectUnsupported(const std::string& part, const std::function<void(Json&)>& change) {
  ExpectError(ErrorCode::kUnsupported, part, change);
}

TEST(TokenizerErrorsTest, OtherComponentsAreRefusedByName) {
  ExpectUnsupported("'model.type' is 'WordPiece'",
                    [](Json& json) { json["model"]["type"] = "WordPiece"; });
  ExpectUnsupported("'normalizer.type' is 'NFKC'", [](Json& json) {
    json["normalizer"] = {{"type", "NFKC"}};
  });
  ExpectUnsupported("'normalizer.content' is '_'",
                    [](Json& json) { json["normalizer"]["content"] = "_"; });
  ExpectUnsupported("'pre_tokenizer.type' is 'ByteLevel'", [](Json& json) {
    json["pre_tokenizer"] = {{"type", "ByteLevel"}};
  });
  ExpectUnsupported("'pre_tokenizer.invert' is true",
                    [](Json& json) { json["pre_tokenizer"]["invert"] = true; });
  ExpectUnsupported("'decoder.type' is 'Metaspace'", [](Json& json) {
    json["decoder"] = {{"type", "Metaspace"}};
  });
  ExpectUnsupported("'decoder.decoders'", [](Json& json) {
    json["decoder"]["decoders"].push_back({{"type", "Strip"}});
  });
  ExpectUnsupported("'decoder.decoders[2].type' is 'Strip'",
                    [](Json& json) { json["decoder"]["decoders"][2]["type"] = "Strip"; });
  ExpectUnsupported("'model.byte_fallback' is false",
                    [](Json& json) { json["model"]["byte_fallback"] = false; });
  ExpectUnsupported("'model.ignore_merges' is true",
                    [](Json& json) { json["model"]["ignore_merges"] = true; });
  ExpectUnsupported("'model.end_of_word_suffix' is '</w>'",
                    [](Json& json) { json["model"]["end_of_word_suffix"] = "</w>"; });
  ExpectUnsupported("'model.dropout'", [](Json& json) { json["model"]["dropout"] = 0.1; });
  ExpectUnsupported("'added_tokens[1].lstrip' is true",
                    [](Json& json) { json["added_tokens"][1]["lstrip"] = true; });
}

TEST(TokenizerErrorsTest, MissingFields) {
  for (const char* field : {"model", "normalizer", "decoder", "added_tokens"}) {
    ExpectDataLoss(std::string("'") + field + "' is missing",
                   [&](Json& json) { json.erase(field); });
  }
  for (const char* field : {"vocab", "merges"}) {
    ExpectDataLoss(std::string("'model.") + field + "' is missing",
                   [&](Json& json) { json["model"].erase(field); });
  }
  ExpectDataLoss("'added_tokens[0].content' is missing",
                 [](Json& json) { json["added_tokens"][0].erase("content"); });
}

TEST(TokenizerErrorsTest, WrongTypes) {
  ExpectDataLoss("'model' is not an object", [](Json& json) { json["model"] = 3; });
  ExpectDataLoss("'model.vocab' is not an object",
                 [](Json& json) { json["model"]["vocab"] = Json::array(); });
  ExpectDataLoss("'model.merges' is not an array",
                 [](Json& json) { json["model"]["merges"] = "a b"; });
  ExpectDataLoss("the id of piece 'abc' is not an integer",
                 [](Json& json) { json["model"]["vocab"]["abc"] = "7"; });
  ExpectDataLoss("'added_tokens[0]' is not an object",
                 [](Json& json) { json["added_tokens"][0] = 1; });
  ExpectDataLoss("'added_tokens[0].special' is not true or false",
                 [](Json& json) { json["added_tokens"][0]["special"] = "yes"; });
}

TEST(TokenizerErrorsTest, Vocabulary) {
  ExpectDataLoss("byte piece '<0x0A>' is missing", [](Json& json) {
    json["model"]["vocab"].erase("<0x0A>");
    json["model"]["vocab"]["other"] = 14;  // its id
  });
  ExpectDataLoss("no piece has id 266", [](Json& json) {
    json["model"]["vocab"].erase("abc");
    json["model"]["merges"] = Json::array();
  });
  ExpectDataLoss("id 261 belongs to both 'a' and 'b'",
                 [](Json& json) { json["model"]["vocab"]["b"] = 261; });
  ExpectDataLoss("piece 'a' has id 4000000000, outside 0 to",
                 [](Json& json) { json["model"]["vocab"]["a"] = 4000000000; });
  ExpectDataLoss("piece 'a' has id -1, outside 0 to",
                 [](Json& json) { json["model"]["vocab"]["a"] = -1; });
  ExpectDataLoss("holds an empty piece", [](Json& json) { json["model"]["vocab"][""] = 271; });
  ExpectDataLoss("id 2 is '<bos>', but added_tokens calls it '<start>'",
                 [](Json& json) { json["added_tokens"][2]["content"] = "<start>"; });
  ExpectDataLoss("piece 'a' has two ids, 261 and 272", [](Json& json) {
    Json token = json["added_tokens"][0];
    token["content"] = "a";
    token["id"] = 272;
    json["added_tokens"].push_back(token);
  });
  ExpectDataLoss("'added_tokens[0].content': is empty",
                 [](Json& json) { json["added_tokens"][0]["content"] = ""; });
}

TEST(TokenizerErrorsTest, Merges) {
  ExpectDataLoss("'model.merges[1]': piece 'q' is not in the vocabulary", [](Json& json) {
    json["model"]["merges"][1] = Json::array({"a", "q"});
  });
  ExpectDataLoss("'model.merges[0]': piece 'ca' is not in the vocabulary", [](Json& json) {
    json["model"]["merges"][0] = Json::array({"c", "a"});
  });
  for (const char* bad :
       {R"("abc")", R"("a b c")", R"(["a"])", R"(["a", "b", "c"])", R"(["a", 1])", "5", "null"}) {
    ExpectDataLoss("'model.merges[2]': is neither",
                   [&](Json& json) { json["model"]["merges"][2] = Json::parse(bad); });
  }
}

TEST(TokenizerErrorsTest, TextThatIsNoTokenizer) {
  for (const std::string text : {"", "{", "[]", "null", "\xFF", "{\"a\":\"\xFF\"}"}) {
    EXPECT_THROW(Tokenizer::FromJson(text, "small.json"), Error) << text;
  }
  EXPECT_THROW(Tokenizer::FromJson(std::string(100000, '['), "deep.json"), Error);
  const std::string whole = test::SmallTokenizerJson().dump();
  for (size_t size = 0; size < whole.size(); size += 37) {
    EXPECT_THROW(Tokenizer::FromJson(whole.substr(0, size), "cut.json"), Error) << size;
  }
  try {
    Tokenizer::Load("/nowhere/tokenizer.json");
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
  }
}

}  // namespace
}  // namespace talon

#include "talon/quantize/amax.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "talon/base/error.h"
#include "tests/support/test_data.h"

namespace talon {
namespace {

using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

class AmaxFile : public ::testing::Test {
 protected:
  InputAmax Read(const std::string& text) {
    std::ofstream(folder_.path() / "amax.json") << text;
    return ReadAmaxFile(folder_.path() / "amax.json");
  }

  std::string ErrorOf(const std::string& text) {
    try {
      Read(text);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kDataLoss);
      EXPECT_THAT(error.what(), HasSubstr("amax.json"));
      return error.what();
    }
    return "accepted";
  }

  test::TempDir folder_;
};

TEST_F(AmaxFile, ReadsAPlainMap) {
  EXPECT_THAT(Read(R"({"fc": 31.875, "layers.0.mlp.up_proj": 2})"),
              UnorderedElementsAre(Pair("fc", 31.875f), Pair("layers.0.mlp.up_proj", 2.0f)));
}

TEST_F(AmaxFile, ReadsModelOptsQuantizers) {
  const InputAmax amax = ReadAmaxFile(test::TestData("modelopt-nvfp4-drafter/amax.json"));
  EXPECT_EQ(amax.size(), 8u);
  EXPECT_EQ(amax.at("fc"), 31.875f);
  EXPECT_EQ(amax.at("layers.0.self_attn.o_proj"), 6.3125f);
}

TEST_F(AmaxFile, RefusesWhatIsNoRange) {
  EXPECT_THAT(ErrorOf(R"({"fc": 0})"), HasSubstr("amax of 'fc' is 0"));
  EXPECT_THAT(ErrorOf(R"({"fc": -1.5})"), HasSubstr("-1.5"));
  EXPECT_THAT(ErrorOf(R"({"fc": 1e300})"), HasSubstr("expected a finite number"));
  EXPECT_THAT(ErrorOf(R"({"fc": "nan"})"), HasSubstr("\"nan\""));
  EXPECT_THAT(ErrorOf(R"({"fc": "31 or so"})"), HasSubstr("31 or so"));
  EXPECT_THAT(ErrorOf(R"({"fc": [1]})"), HasSubstr("[1]"));
  EXPECT_THAT(ErrorOf(R"({"calibrated": {"fc.input_quantizer": {"hex": "0x1p1"}}})"),
              HasSubstr("fc.input_quantizer"));
  EXPECT_THAT(ErrorOf("[1, 2]"), HasSubstr("expected a JSON object"));
  EXPECT_THAT(ErrorOf("{\"fc\": 1"), HasSubstr("not valid JSON"));
  EXPECT_THAT(ErrorOf("{\"fc\": \"\xff\"}"), HasSubstr("not valid JSON"));
}

}  // namespace
}  // namespace talon

// Errors carry a code and a formatted sentence; the code alone decides the exit code.
#include "talon/base/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace talon {
namespace {

TEST(ErrorTest, ThrowFormatsTheSentenceAndKeepsTheCode) {
  try {
    Throw(ErrorCode::kDataLoss, "{}: {} bytes, expected {}", "model.safetensors", 7, 8);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kDataLoss);
    EXPECT_STREQ(error.what(), "model.safetensors: 7 bytes, expected 8");
  }
}

TEST(ErrorTest, TextWithBracesIsNotAFormat) {
  const Error error(ErrorCode::kInternal, "found {} in the file");
  EXPECT_STREQ(error.what(), "found {} in the file");
}

TEST(ErrorTest, OnlyAWrongArgumentExitsWithTwo) {
  EXPECT_EQ(ExitCode(ErrorCode::kInvalidArgument), 2);
  for (const ErrorCode code :
       {ErrorCode::kNotFound, ErrorCode::kDataLoss, ErrorCode::kUnsupported,
        ErrorCode::kResourceExhausted, ErrorCode::kFailedPrecondition, ErrorCode::kInternal}) {
    EXPECT_EQ(ExitCode(code), 1);
  }
}

TEST(ErrorTest, CheckInternalThrowsOnlyWhenTheConditionIsFalse) {
  EXPECT_NO_THROW(CheckInternal(true, "unused"));
  try {
    CheckInternal(false, "pages were freed twice");
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInternal);
    EXPECT_THAT(error.what(), testing::HasSubstr("pages were freed twice"));
  }
}

}  // namespace
}  // namespace talon

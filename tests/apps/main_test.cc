// The command line as such: help, version, and wrong usage.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/run_talon.h"

namespace talon {
namespace {

using test::ProgramResult;
using test::RunTalon;
using testing::HasSubstr;

TEST(MainTest, HelpAndVersionGoToStdout) {
  const ProgramResult help = RunTalon({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_THAT(help.out, HasSubstr("Usage: talon"));
  EXPECT_EQ(help.err, "");
  const ProgramResult version = RunTalon({"--version"});
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_THAT(version.out, testing::MatchesRegex("talon [0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

TEST(MainTest, WrongUsageExitsWithTwoAndSaysWhy) {
  const ProgramResult none = RunTalon({});
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_THAT(none.err, HasSubstr("Usage: talon"));
  const ProgramResult unknown = RunTalon({"quantise"});
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("quantise"));
}

}  // namespace
}  // namespace talon

// Progress goes to stderr: one closing line where it is a file, a bar where it is a terminal.
#include "talon/base/progress.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace talon {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;

class ProgressTest : public testing::Test {
 protected:
  ~ProgressTest() override { Progress::SetEnabled(true); }
};

TEST_F(ProgressTest, ClosesWithOneLineInAFile) {
  testing::internal::CaptureStderr();
  {
    Progress progress("Calibrating", 3, "conversations");
    for (int i = 0; i < 3; ++i) progress.Advance();
    progress.Finish();
    progress.Finish();
  }
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              MatchesRegex("Calibrating: 3/3 conversations in [0-9:]+\n"));
}

TEST_F(ProgressTest, IsSilentWhenDisabled) {
  Progress::SetEnabled(false);
  testing::internal::CaptureStderr();
  { Progress progress("Calibrating", 3, "conversations"); }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST_F(ProgressTest, DrawsABarOnATerminal) {
  const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY);
  if (terminal < 0) GTEST_SKIP() << "no pseudo-terminal here";
  ASSERT_EQ(::grantpt(terminal), 0);
  ASSERT_EQ(::unlockpt(terminal), 0);
  const int line = ::open(::ptsname(terminal), O_RDWR | O_NOCTTY);
  ASSERT_GE(line, 0);
  EXPECT_TRUE(IsTerminal(line));

  std::fflush(stderr);
  const int saved = ::dup(STDERR_FILENO);
  ::dup2(line, STDERR_FILENO);
  {
    Progress progress("Tracing", 4, "prompts");
    progress.Advance(2);
  }
  std::fflush(stderr);
  ::dup2(saved, STDERR_FILENO);
  ::close(saved);

  std::string seen(512, '\0');
  const ssize_t size = ::read(terminal, seen.data(), seen.size());
  ASSERT_GT(size, 0);
  seen.resize(static_cast<size_t>(size));
  EXPECT_THAT(seen, HasSubstr("[############............] Tracing: 2/4 prompts in "));
  ::close(line);
  ::close(terminal);
}

}  // namespace
}  // namespace talon

// Output that appears whole or not at all: on success, on abandonment, on a full disk, on a signal.
#include "talon/base/atomic_output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/support/error_matchers.h"
#include "tests/support/test_data.h"

namespace talon {
namespace {

namespace fs = std::filesystem;
using test::ErrorOf;
using testing::AllOf;
using testing::HasSubstr;

std::string ReadAll(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

std::vector<std::string> Names(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  return names;
}

// Files of this process cannot grow beyond `max_bytes` while this lives: a disk that runs full.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t max_bytes) : old_handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &old_limit_);
    const rlimit limit = {max_bytes, old_limit_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_limit_);
    std::signal(SIGXFSZ, old_handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  void (*old_handler_)(int);
  rlimit old_limit_ = {};
};

class AtomicOutputTest : public testing::Test {
 protected:
  const fs::path& folder() const { return folder_.path(); }

 private:
  test::TempDir folder_;
};

TEST_F(AtomicOutputTest, AFileAppearsOnCommitOnly) {
  const fs::path target = folder() / "out.json";
  AtomicFile file(target);
  file.Write("one ");
  file.Write("two");
  EXPECT_EQ(file.size_bytes(), 7);
  EXPECT_FALSE(fs::exists(target));
  file.Commit();
  EXPECT_EQ(ReadAll(target), "one two");
  EXPECT_THAT(Names(folder()), testing::ElementsAre("out.json"));
}

TEST_F(AtomicOutputTest, AnAbandonedFileLeavesTheOldOne) {
  const fs::path target = folder() / "out.json";
  WriteFileAtomically(target, "old");
  {
    AtomicFile file(target);
    file.Write("half of the ne");
  }
  EXPECT_EQ(ReadAll(target), "old");
  EXPECT_THAT(Names(folder()), testing::ElementsAre("out.json"));
  WriteFileAtomically(target, "new");
  EXPECT_EQ(ReadAll(target), "new");
}

TEST_F(AtomicOutputTest, AFullDiskIsAnErrorAndLeavesNothing) {
  const fs::path target = folder() / "model.safetensors";
  const FileSizeLimit limit(10000);
  const std::string message = ErrorOf(ErrorCode::kResourceExhausted, [&] {
    AtomicFile file(target);
    file.Write(std::string(6000, 'x'));
    file.Write(std::string(6000, 'x'));
  });
  EXPECT_THAT(message, AllOf(HasSubstr("model.safetensors"), HasSubstr("10000")));
  EXPECT_TRUE(fs::is_empty(folder()));
}

TEST_F(AtomicOutputTest, AFileThatCannotBePutInPlaceLeavesNothing) {
  const fs::path target = folder() / "taken";
  fs::create_directories(target / "inside");
  ErrorOf(ErrorCode::kFailedPrecondition, [&] { WriteFileAtomically(target, "text"); });
  EXPECT_THAT(Names(folder()), testing::ElementsAre("taken"));
}

TEST_F(AtomicOutputTest, AMissingFolderIsNamed) {
  EXPECT_THAT(ErrorOf(ErrorCode::kFailedPrecondition,
                      [&] { const AtomicFile file(folder() / "absent" / "out.json"); }),
              HasSubstr("absent/out.json: cannot be created: No such file"));
  EXPECT_THAT(ErrorOf(ErrorCode::kFailedPrecondition,
                      [&] { const AtomicDirectory output(folder() / "absent" / "out"); }),
              HasSubstr("absent/out: cannot be created: No such file"));
}

TEST_F(AtomicOutputTest, ADirectoryAppearsOnCommitOnly) {
  const fs::path target = folder() / "drafter";
  AtomicDirectory output(target);
  WriteFileAtomically(output.path() / "config.json", "{}");
  fs::create_directory(output.path() / "deeper");
  WriteFileAtomically(output.path() / "deeper" / "data", "1");
  EXPECT_FALSE(fs::exists(target));
  output.Commit();
  EXPECT_EQ(ReadAll(target / "config.json"), "{}");
  EXPECT_EQ(ReadAll(target / "deeper" / "data"), "1");
  EXPECT_THAT(Names(folder()), testing::ElementsAre("drafter"));
}

TEST_F(AtomicOutputTest, ATrailingSlashNamesTheSameFolder) {
  AtomicDirectory output(folder() / "drafter/");
  output.Commit();
  EXPECT_THAT(Names(folder()), testing::ElementsAre("drafter"));
}

TEST_F(AtomicOutputTest, AnAbandonedDirectoryLeavesNothing) {
  {
    const AtomicDirectory output(folder() / "drafter");
    WriteFileAtomically(output.path() / "config.json", "{}");
  }
  EXPECT_TRUE(fs::is_empty(folder()));
}

TEST_F(AtomicOutputTest, AnExistingOutputIsRefusedAndUntouched) {
  const fs::path target = folder() / "drafter";
  fs::create_directory(target);
  std::ofstream(target / "mine") << "precious";
  EXPECT_THAT(
      ErrorOf(ErrorCode::kFailedPrecondition, [&] { const AtomicDirectory output(target); }),
      AllOf(HasSubstr("drafter: exists already"), HasSubstr("choose another")));
  EXPECT_EQ(ReadAll(target / "mine"), "precious");

  fs::create_symlink("nowhere", folder() / "dangling");
  ErrorOf(ErrorCode::kFailedPrecondition,
          [&] { const AtomicDirectory output(folder() / "dangling"); });
}

TEST_F(AtomicOutputTest, AnOutputThatAppearedMeanwhileIsNotReplaced) {
  const fs::path target = folder() / "drafter";
  {
    AtomicDirectory output(target);
    std::ofstream(target) << "someone else's";
    ErrorOf(ErrorCode::kFailedPrecondition, [&] { output.Commit(); });
  }
  EXPECT_EQ(ReadAll(target), "someone else's");
  EXPECT_THAT(Names(folder()), testing::ElementsAre("drafter"));
}

TEST_F(AtomicOutputTest, UnfinishedOutputsCanAllBeRemoved) {
  const AtomicDirectory output(folder() / "drafter");
  AtomicFile inside(output.path() / "model.safetensors");
  inside.Write("half");
  AtomicFile beside(folder() / "report.json");
  AtomicFile finished(folder() / "done.json");
  finished.Commit();
  RemoveUnfinishedOutputs();
  EXPECT_THAT(Names(folder()), testing::ElementsAre("done.json"));
}

}  // namespace
}  // namespace talon

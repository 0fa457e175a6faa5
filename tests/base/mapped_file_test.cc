// Mapped files: contents, empty files, moves, and errors that name the path.
#include "talon/base/mapped_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <utility>

#include "tests/support/error_matchers.h"
#include "tests/support/test_data.h"

namespace talon {
namespace {

namespace fs = std::filesystem;
using test::ErrorOf;
using testing::HasSubstr;

std::string Text(const MappedFile& file) {
  const auto bytes = file.bytes();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

class MappedFileTest : public testing::Test {
 protected:
  fs::path Write(const std::string& name, const std::string& text) const {
    const fs::path path = folder_.path() / name;
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  test::TempDir folder_;
};

TEST_F(MappedFileTest, HoldsTheBytesOfTheFile) {
  const std::string text("a\0b\nc", 5);
  const MappedFile file(Write("data", text));
  EXPECT_EQ(Text(file), text);
  EXPECT_EQ(file.path(), folder_.path() / "data");
}

TEST_F(MappedFileTest, AnEmptyFileIsAnEmptySpan) {
  const MappedFile file(Write("empty", ""));
  EXPECT_TRUE(file.bytes().empty());
  file.Release(0, 100);
}

TEST_F(MappedFileTest, MovesKeepTheMappingAlive) {
  MappedFile first(Write("first", "first"));
  MappedFile second(Write("second", "second"));
  second = std::move(first);
  EXPECT_EQ(Text(second), "first");
  const MappedFile third(std::move(second));
  EXPECT_EQ(Text(third), "first");
}

TEST_F(MappedFileTest, ReleasedBytesCanBeReadAgain) {
  std::string text;
  for (int i = 0; i < 5000; ++i) text += std::to_string(i) + ",";
  const MappedFile file(Write("long", text));
  EXPECT_EQ(Text(file), text);
  file.Release(1, text.size());
  file.Release(text.size(), 1 << 20);
  EXPECT_EQ(Text(file), text);
}

TEST_F(MappedFileTest, RefusesWhatIsNoRegularFile) {
  const auto open = [](const fs::path& path) {
    return ErrorOf(ErrorCode::kNotFound, [&] { const MappedFile file(path); });
  };
  EXPECT_THAT(open(folder_.path() / "absent"), HasSubstr("absent: cannot be opened: No such file"));
  EXPECT_THAT(open(folder_.path()), HasSubstr("is not a regular file"));
  EXPECT_THAT(open("/dev/null"), HasSubstr("is not a regular file"));
}

}  // namespace
}  // namespace talon

#include "talon/base/system_memory.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/test_data.h"

namespace talon::test {
namespace {

void Write(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

void WriteMeminfo(const std::filesystem::path& root) {
  Write(root / "proc/meminfo",
        "MemTotal:       1000 kB\nMemFree:        100 kB\nMemAvailable:   600 kB\n");
}

TEST(AvailableMemory, IsTheKernelsFigure) {
  const TempDir root;
  WriteMeminfo(root.path());
  EXPECT_EQ(AvailableMemoryBytes(root.path()), 600 * 1024);
}

TEST(AvailableMemory, IsWhatTheTightestControlGroupLeaves) {
  const TempDir root;
  WriteMeminfo(root.path());
  Write(root.path() / "proc/self/cgroup", "0::/outer/inner\n");
  const std::filesystem::path groups = root.path() / "sys/fs/cgroup";
  Write(groups / "outer/inner/memory.max", "max\n");
  Write(groups / "outer/inner/memory.current", "100000\n");
  EXPECT_EQ(AvailableMemoryBytes(root.path()), 600 * 1024) << "no limit";
  Write(groups / "outer/memory.max", "300000\n");
  Write(groups / "outer/memory.current", "120000\n");
  Write(groups / "outer/memory.stat", "anon 20000\nfile 100000\nfile_mapped 5\n");
  EXPECT_EQ(AvailableMemoryBytes(root.path()), 280000) << "files can be dropped";
}

TEST(AvailableMemory, IsZeroWhereTheKernelIsSilent) {
  const TempDir root;
  EXPECT_EQ(AvailableMemoryBytes(root.path()), 0);
}

TEST(AvailableMemory, OfThisMachineIsPlausible) {
  EXPECT_GT(AvailableMemoryBytes(), int64_t{64} << 20);
}

}  // namespace
}  // namespace talon::test

#include "talon/base/system_memory.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>

namespace talon {
namespace {

// The number after `key` at the start of a line; nullopt when there is none ("max" means no limit).
std::optional<int64_t> FindNumber(const std::filesystem::path& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(key)) continue;
    std::istringstream rest(line.substr(key.size()));
    int64_t number = 0;
    if (rest >> number) return number;
  }
  return std::nullopt;
}

// What one control group leaves. Pages of files it holds can be dropped, as in MemAvailable.
std::optional<int64_t> LeftInGroup(const std::filesystem::path& group) {
  const auto limit = FindNumber(group / "memory.max", "");
  const auto used = FindNumber(group / "memory.current", "");
  if (!limit || !used) return std::nullopt;
  const int64_t files = FindNumber(group / "memory.stat", "file ").value_or(0);
  return std::max<int64_t>(0, *limit - std::max<int64_t>(0, *used - files));
}

// The process's control group below /sys/fs/cgroup, "" for the top.
std::filesystem::path OwnGroup(const std::filesystem::path& root) {
  std::ifstream file(root / "proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("0::/")) return line.substr(4);
  }
  return "";
}

}  // namespace

int64_t AvailableMemoryBytes(const std::filesystem::path& root) {
  int64_t available =
      FindNumber(root / "proc/meminfo", "MemAvailable:").value_or(0) * int64_t{1024};
  const std::filesystem::path top = root / "sys/fs/cgroup";
  for (std::filesystem::path group = OwnGroup(root);; group = group.parent_path()) {
    if (const auto left = LeftInGroup(top / group)) available = std::min(available, *left);
    if (group.empty()) break;
  }
  return available;
}

}  // namespace talon

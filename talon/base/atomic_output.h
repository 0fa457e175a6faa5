// Output that appears whole or not at all: written under a temporary name beside the target,
// synced, then renamed. An object destroyed before Commit() removes what it wrote, and a process
// that is told to stop removes it through RemoveUnfinishedOutputs().
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

namespace talon {

// The temporary path of an output; removed with the object unless it was moved to its target.
class UnfinishedPath {
 public:
  explicit UnfinishedPath(const std::filesystem::path& target);
  ~UnfinishedPath();
  UnfinishedPath(const UnfinishedPath&) = delete;
  UnfinishedPath& operator=(const UnfinishedPath&) = delete;

  const std::filesystem::path& path() const { return path_; }
  // Renames to `target` and syncs its folder.
  void MoveTo(const std::filesystem::path& target);

 private:
  std::filesystem::path path_;
};

// Removes the unfinished outputs of this process; for the thread that ends it on a signal. No
// output can be put in place while this runs.
void RemoveUnfinishedOutputs();

class AtomicFile {
 public:
  // Throws kFailedPrecondition when `target`'s folder is missing or not writable.
  explicit AtomicFile(const std::filesystem::path& target);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  // Throws kResourceExhausted on a full disk, with the path.
  void Write(std::span<const std::byte> bytes);
  void Write(std::string_view text);
  // Syncs file and folder and renames over `target`.
  void Commit();

  int64_t size_bytes() const { return size_bytes_; }

 private:
  std::filesystem::path target_;
  UnfinishedPath temporary_;
  int fd_ = -1;
  int64_t size_bytes_ = 0;
};

// Writes one whole file atomically.
void WriteFileAtomically(const std::filesystem::path& target, std::string_view text);

class AtomicDirectory {
 public:
  // `target` must not exist (kFailedPrecondition otherwise); its parent must.
  explicit AtomicDirectory(const std::filesystem::path& target);
  AtomicDirectory(const AtomicDirectory&) = delete;
  AtomicDirectory& operator=(const AtomicDirectory&) = delete;

  // Where to write files until Commit().
  const std::filesystem::path& path() const { return temporary_.path(); }
  // Syncs every file and the folder, then renames it to `target`.
  void Commit();

 private:
  std::filesystem::path target_;
  UnfinishedPath temporary_;
};

}  // namespace talon

#include "talon/base/atomic_output.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <mutex>
#include <set>

#include "talon/base/error.h"

namespace talon {
namespace {

namespace fs = std::filesystem;

fs::path WithoutTrailingSlash(const fs::path& target) {
  return target.has_filename() ? target : target.parent_path();
}

fs::path TemporaryName(const fs::path& target) {
  fs::path name = WithoutTrailingSlash(target);
  name += fmt::format(".partial-{}", ::getpid());
  return name;
}

// What has not been put in place yet. Renames happen under the lock, so that a removal never
// empties a folder that is about to appear.
struct Registry {
  std::mutex mutex;
  std::set<fs::path> paths;
};

Registry& Unfinished() {
  static auto* registry = new Registry;  // Outlives every static object that may write.
  return *registry;
}

void SyncPath(const fs::path& path, int flags) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC);
  if (fd < 0) return;
  const int result = ::fsync(fd);
  const int error = errno;
  ::close(fd);
  if (result != 0 && error != EINVAL) {
    Throw(ErrorCode::kResourceExhausted, "{}: cannot be synced to disk: {}", path.string(),
          std::strerror(error));
  }
}

void SyncParent(const fs::path& path) {
  const fs::path parent = path.parent_path();
  SyncPath(parent.empty() ? fs::path(".") : parent, O_RDONLY | O_DIRECTORY);
}

bool Exists(const fs::path& path) { return fs::exists(fs::symlink_status(path)); }

}  // namespace

UnfinishedPath::UnfinishedPath(const fs::path& target) : path_(TemporaryName(target)) {
  const std::lock_guard lock(Unfinished().mutex);
  std::error_code ignored;
  fs::remove_all(path_, ignored);  // Left by a killed process that had the same id.
  Unfinished().paths.insert(path_);
}

UnfinishedPath::~UnfinishedPath() {
  const std::lock_guard lock(Unfinished().mutex);
  std::error_code ignored;
  if (Unfinished().paths.erase(path_) != 0) fs::remove_all(path_, ignored);
}

void UnfinishedPath::MoveTo(const fs::path& target) {
  {
    const std::lock_guard lock(Unfinished().mutex);
    if (::rename(path_.c_str(), target.c_str()) != 0) {
      Throw(ErrorCode::kFailedPrecondition, "{}: cannot be put in place: {}", target.string(),
            std::strerror(errno));
    }
    Unfinished().paths.erase(path_);
  }
  SyncParent(target);
}

void RemoveUnfinishedOutputs() {
  constexpr int kAttempts = 10;  // Another thread may still be adding files to a folder.
  const std::lock_guard lock(Unfinished().mutex);
  for (const fs::path& path : Unfinished().paths) {
    std::error_code error;
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      fs::remove_all(path, error);
      if (!Exists(path)) break;
    }
  }
  Unfinished().paths.clear();
}

AtomicFile::AtomicFile(const fs::path& target) : target_(target), temporary_(target) {
  fd_ = ::open(temporary_.path().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd_ < 0) {
    Throw(ErrorCode::kFailedPrecondition, "{}: cannot be created: {}", target.string(),
          std::strerror(errno));
  }
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) ::close(fd_);
}

void AtomicFile::Write(std::span<const std::byte> bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t written = ::write(fd_, bytes.data() + done, bytes.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      Throw(ErrorCode::kResourceExhausted, "{}: writing failed after {} bytes: {}",
            target_.string(), size_bytes_ + static_cast<int64_t>(done), std::strerror(errno));
    }
    done += static_cast<size_t>(written);
  }
  size_bytes_ += static_cast<int64_t>(done);
}

void AtomicFile::Write(std::string_view text) {
  Write(std::as_bytes(std::span(text.data(), text.size())));
}

void AtomicFile::Commit() {
  int error = ::fsync(fd_) == 0 ? 0 : errno;
  if (::close(fd_) != 0 && error == 0) error = errno;
  fd_ = -1;
  if (error != 0) {
    Throw(ErrorCode::kResourceExhausted, "{}: cannot be synced to disk: {}", target_.string(),
          std::strerror(error));
  }
  temporary_.MoveTo(target_);
}

void WriteFileAtomically(const fs::path& target, std::string_view text) {
  AtomicFile file(target);
  file.Write(text);
  file.Commit();
}

AtomicDirectory::AtomicDirectory(const fs::path& target)
    : target_(WithoutTrailingSlash(target)), temporary_(target) {
  if (Exists(target_)) {
    Throw(ErrorCode::kFailedPrecondition,
          "{}: exists already; remove it or choose another output folder", target_.string());
  }
  std::error_code error;
  if (!fs::create_directory(temporary_.path(), error)) {
    Throw(ErrorCode::kFailedPrecondition, "{}: cannot be created: {}", target_.string(),
          error.message());
  }
}

void AtomicDirectory::Commit() {
  for (const auto& entry : fs::recursive_directory_iterator(temporary_.path())) {
    if (entry.is_regular_file()) SyncPath(entry.path(), O_RDONLY);
  }
  SyncPath(temporary_.path(), O_RDONLY | O_DIRECTORY);
  if (Exists(target_)) {
    Throw(ErrorCode::kFailedPrecondition, "{}: appeared while it was being written",
          target_.string());
  }
  temporary_.MoveTo(target_);
}

}  // namespace talon

#include "talon/base/atomic_output.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "talon/base/error.h"

namespace talon {
namespace {

namespace fs = std::filesystem;

fs::path TemporaryName(const fs::path& target) {
  fs::path clean = target.has_filename() ? target : target.parent_path();
  clean += fmt::format(".partial-{}", ::getpid());
  return clean;
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

void Rename(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    Throw(ErrorCode::kFailedPrecondition, "{}: cannot be put in place: {}", to.string(),
          std::strerror(errno));
  }
}

}  // namespace

AtomicFile::AtomicFile(const fs::path& target)
    : target_(target), temporary_(TemporaryName(target)) {
  fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd_ < 0) {
    Throw(ErrorCode::kFailedPrecondition, "{}: cannot be created: {}", target.string(),
          std::strerror(errno));
  }
}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(temporary_.c_str());
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
  const bool synced = ::fsync(fd_) == 0;
  const int sync_error = errno;
  const bool closed = ::close(fd_) == 0;
  fd_ = -1;
  if (!synced || !closed) {
    ::unlink(temporary_.c_str());
    Throw(ErrorCode::kResourceExhausted, "{}: cannot be synced to disk: {}", target_.string(),
          std::strerror(synced ? errno : sync_error));
  }
  Rename(temporary_, target_);
  SyncParent(target_);
}

void WriteFileAtomically(const fs::path& target, std::string_view text) {
  AtomicFile file(target);
  file.Write(text);
  file.Commit();
}

AtomicDirectory::AtomicDirectory(const fs::path& target)
    : target_(target.has_filename() ? target : target.parent_path()),
      temporary_(TemporaryName(target)) {
  if (fs::exists(fs::symlink_status(target_))) {
    Throw(ErrorCode::kFailedPrecondition,
          "{}: exists already; remove it or choose another output folder", target_.string());
  }
  std::error_code error;
  fs::remove_all(temporary_, error);
  if (!fs::create_directory(temporary_, error)) {
    Throw(ErrorCode::kFailedPrecondition, "{}: cannot be created: {}", target_.string(),
          error.message());
  }
}

AtomicDirectory::~AtomicDirectory() {
  std::error_code error;
  if (!committed_) fs::remove_all(temporary_, error);
}

void AtomicDirectory::Commit() {
  for (const auto& entry : fs::recursive_directory_iterator(temporary_)) {
    if (entry.is_regular_file()) SyncPath(entry.path(), O_RDONLY);
  }
  SyncPath(temporary_, O_RDONLY | O_DIRECTORY);
  if (fs::exists(fs::symlink_status(target_))) {
    Throw(ErrorCode::kFailedPrecondition, "{}: appeared while it was being written",
          target_.string());
  }
  Rename(temporary_, target_);
  committed_ = true;
  SyncParent(target_);
}

}  // namespace talon

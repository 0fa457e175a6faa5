// A read-only memory-mapped file. The mapping stays valid for the object's lifetime.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace talon {

class MappedFile {
 public:
  // Throws kNotFound or kDataLoss with the path when the file cannot be opened, is no regular file
  // or cannot be mapped. An empty file gives an empty span.
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_bytes_}; }
  const std::filesystem::path& path() const { return path_; }

  // Tells the kernel that a range was read and will not be needed soon, so that streaming over a
  // large file keeps resident memory bounded.
  void Release(size_t offset, size_t size_bytes) const;

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t size_bytes_ = 0;
};

}  // namespace talon

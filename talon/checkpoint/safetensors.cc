#include "talon/checkpoint/safetensors.h"

#include <algorithm>

#include "talon/base/error.h"
#include "talon/checkpoint/safetensors_header.h"

namespace talon {
namespace {

// Readers of a tensor may use its element type directly. Files whose header was not padded to 8
// bytes can break that alignment; such tensors are copied.
bool IsAligned(const std::byte* data, DType dtype) {
  return reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(SizeOf(dtype)) == 0;
}

void CopyToAligned(TensorView* tensor) {
  auto copy = std::make_shared<std::vector<uint64_t>>((tensor->bytes.size() + 7) / 8);
  const std::span<std::byte> target = std::as_writable_bytes(std::span(*copy));
  std::copy(tensor->bytes.begin(), tensor->bytes.end(), target.begin());
  tensor->bytes = target.first(tensor->bytes.size());
  tensor->file = nullptr;
  tensor->owner = std::move(copy);
}

}  // namespace

int64_t TensorView::num_elements() const {
  return static_cast<int64_t>(bytes.size()) / SizeOf(dtype);
}

std::string TensorView::ShapeText() const { return fmt::format("[{}]", fmt::join(shape, ", ")); }

std::string TensorView::Where() const {
  return fmt::format("{}tensor '{}'", file == nullptr ? "" : file->path().string() + ": ", name);
}

void TensorView::Release(size_t offset_bytes, size_t size_bytes) const {
  if (file == nullptr) return;
  const auto begin = static_cast<size_t>(bytes.data() - file->bytes().data());
  file->Release(begin + offset_bytes, size_bytes);
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path)
    : file_(std::make_shared<const MappedFile>(path)) {
  Parse(file_->bytes(), path.string());
}

SafetensorsFile SafetensorsFile::FromMemory(std::span<const std::byte> bytes,
                                            const std::string& source) {
  SafetensorsFile file;
  file.Parse(bytes, source);
  return file;
}

void SafetensorsFile::Parse(std::span<const std::byte> bytes, const std::string& source) {
  SafetensorsHeader header = ParseSafetensorsHeader(bytes, source);
  header_ = header.json;
  metadata_ = std::move(header.metadata);
  for (SafetensorsEntry& entry : header.entries) {
    TensorView tensor;
    tensor.name = entry.name;
    tensor.dtype = entry.dtype;
    tensor.shape = std::move(entry.shape);
    tensor.bytes = bytes.subspan(entry.begin, entry.end - entry.begin);
    tensor.file = file_;
    tensor.owner = file_;
    if (!IsAligned(tensor.bytes.data(), tensor.dtype)) CopyToAligned(&tensor);
    tensors_.emplace(std::move(entry.name), std::move(tensor));
  }
}

}  // namespace talon

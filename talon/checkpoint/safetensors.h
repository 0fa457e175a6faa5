// Memory-mapped reading and atomic writing of safetensors files, as strict as the reference reader:
// header size, JSON form, duplicate keys, dtype, shape and byte range of every tensor, no overlaps
// and no holes. Source: github.com/huggingface/safetensors, specs/nvfp4.md 3.4 for the byte layout.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "talon/base/mapped_file.h"
#include "talon/numeric/dtype.h"

namespace talon {

// A tensor inside a mapped file; valid while `owner` lives.
struct TensorView {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;        // row-major, aligned for the dtype
  std::shared_ptr<const MappedFile> file;  // null when the bytes do not lie in a mapped file
  std::shared_ptr<const void> owner;       // keeps the bytes alive

  int64_t num_elements() const;
  // Shape as "[5376, 16128]".
  std::string ShapeText() const;
  // "path/model.safetensors: tensor 'fc.weight'", for errors.
  std::string Where() const;
  // MappedFile::Release of a byte range of this tensor; nothing when it lies in no mapped file.
  void Release(size_t offset_bytes, size_t size_bytes) const;
};

class SafetensorsFile {
 public:
  // Throws kNotFound or kDataLoss naming file, tensor, what was found and what was expected.
  explicit SafetensorsFile(const std::filesystem::path& path);
  // Parses a file's bytes, which must outlive the object and its tensors; `source` names them in
  // errors.
  static SafetensorsFile FromMemory(std::span<const std::byte> bytes, const std::string& source);

  const std::map<std::string, TensorView>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  // The raw JSON header, for provenance hashes.
  std::string_view header() const { return header_; }

 private:
  SafetensorsFile() = default;
  void Parse(std::span<const std::byte> bytes, const std::string& source);

  std::shared_ptr<const MappedFile> file_;
  std::map<std::string, TensorView> tensors_;
  std::map<std::string, std::string> metadata_;
  std::string_view header_;
};

// A checkpoint folder's tensors: model.safetensors, or model.safetensors.index.json and its shards.
class TensorStore {
 public:
  // Opens every shard. Throws like SafetensorsFile, and when index and shards disagree.
  static TensorStore Open(const std::filesystem::path& directory);
  // Opens one safetensors file.
  static TensorStore OpenFile(const std::filesystem::path& path);

  // nullptr when there is no such tensor.
  const TensorView* Find(const std::string& name) const;
  // Throws kNotFound naming the tensor and the folder.
  const TensorView& Get(const std::string& name) const;
  const std::map<std::string, TensorView>& tensors() const { return tensors_; }
  const std::filesystem::path& path() const { return path_; }
  const std::vector<std::filesystem::path>& files() const { return files_; }
  // Raw JSON headers of all shards in file order.
  std::vector<std::string_view> headers() const;

 private:
  std::filesystem::path path_;
  std::vector<std::filesystem::path> files_;
  std::vector<std::shared_ptr<SafetensorsFile>> shards_;
  std::map<std::string, TensorView> tensors_;
};

// What to write: names and shapes are known up front, bytes are produced one tensor at a time so
// that memory stays bounded however large the file is.
struct TensorSpec {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
};

// Writes `path` (a plain create; wrap the folder in AtomicDirectory). Tensors are laid out as the
// safetensors library does: dtype order of specs/nvfp4.md 3.4 and 0.1.6, then name. `produce` is
// called once per tensor in file order and must append exactly the tensor's bytes through `append`.
using AppendBytes = std::function<void(std::span<const std::byte>)>;
using ProduceTensor = std::function<void(const TensorSpec& spec, const AppendBytes& append)>;
void WriteSafetensors(const std::filesystem::path& path, std::vector<TensorSpec> specs,
                      const std::map<std::string, std::string>& metadata,
                      const ProduceTensor& produce);

}  // namespace talon

#include "talon/checkpoint/identity.h"

#include <algorithm>
#include <cstdint>

#include "talon/base/hash.h"
#include "talon/base/json.h"

namespace talon {
namespace {

// Per tensor: kSamples pieces of kSampleBytes, evenly spread from its first to its last byte.
constexpr size_t kSamples = 16;
constexpr size_t kSampleBytes = 256;

void HashSamples(const TensorView& tensor, Sha256& hash) {
  const size_t size = tensor.bytes.size();
  if (size <= kSamples * kSampleBytes) {
    hash.Update(tensor.bytes);
    return;
  }
  for (size_t i = 0; i < kSamples; ++i) {
    const size_t offset = (size - kSampleBytes) / (kSamples - 1) * i;
    hash.Update(tensor.bytes.subspan(offset, kSampleBytes));
  }
  hash.Update(tensor.bytes.last(kSampleBytes));
}

}  // namespace

std::string CheckpointIdentity(const TensorStore& store) {
  Sha256 hash;
  const std::filesystem::path config = store.path() / "config.json";
  if (std::filesystem::exists(config)) hash.Update(ReadTextFile(config));
  for (const std::string_view header : store.headers()) hash.Update(header);
  for (const auto& [name, tensor] : store.tensors()) HashSamples(tensor, hash);
  return hash.Finish();
}

std::vector<FileHash> HashFiles(const TensorStore& store) {
  std::vector<std::filesystem::path> paths = store.files();
  const std::filesystem::path config = store.path() / "config.json";
  if (std::filesystem::exists(config)) paths.insert(paths.begin(), config);
  std::vector<FileHash> hashes;
  for (const std::filesystem::path& path : paths) {
    const MappedFile file(path);
    constexpr size_t kStep = size_t{64} << 20;  // resident memory stays bounded
    Sha256 hash;
    for (size_t begin = 0; begin < file.bytes().size(); begin += kStep) {
      const size_t count = std::min(kStep, file.bytes().size() - begin);
      hash.Update(file.bytes().subspan(begin, count));
      file.Release(begin, count);
    }
    hashes.push_back(
        {path.filename().string(), static_cast<int64_t>(file.bytes().size()), hash.Finish()});
  }
  return hashes;
}

}  // namespace talon

#include "talon/quantize/model_files.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "talon/base/error.h"

namespace talon {
namespace {

constexpr size_t kCompareBytes = size_t{1} << 22;

}  // namespace

ModelFiles ModelFiles::Open(const std::filesystem::path& directory) {
  Json config = ReadJsonFile(directory / "config.json");
  TensorStore store = TensorStore::Open(directory);
  ModelLayout layout = ReadLayout(directory, store);
  return {directory, std::move(config), std::move(layout), std::move(store)};
}

void ReleaseTensorBytes(const TensorView& tensor, size_t offset, size_t size_bytes) {
  if (tensor.file == nullptr) return;
  const auto begin = static_cast<size_t>(tensor.bytes.data() - tensor.file->bytes().data());
  tensor.file->Release(begin + offset, size_bytes);
}

bool SameTensor(ThreadPool& pool, const TensorView& a, const TensorView& b) {
  if (a.dtype != b.dtype || a.shape != b.shape) return false;
  std::atomic<bool> same{true};
  const size_t size_bytes = a.bytes.size();
  const size_t num_tasks = (size_bytes + kCompareBytes - 1) / kCompareBytes;
  pool.Run(static_cast<int64_t>(num_tasks), [&](int64_t task) {
    if (!same.load(std::memory_order_relaxed)) return;
    const size_t offset = static_cast<size_t>(task) * kCompareBytes;
    const size_t count = std::min(kCompareBytes, size_bytes - offset);
    if (std::memcmp(a.bytes.data() + offset, b.bytes.data() + offset, count) != 0) same = false;
    ReleaseTensorBytes(a, offset, count);
    ReleaseTensorBytes(b, offset, count);
  });
  return same.load();
}

void RequireMatchingPair(const Eagle3Config& drafter, const GemmaConfig& verifier) {
  const auto refuse = [](const char* field, int64_t found, int64_t expected) {
    Throw(ErrorCode::kInvalidArgument,
          "drafter and verifier do not belong together: the drafter's {} is {}, the verifier's is "
          "{}; give the verifier that the drafter was trained for",
          field, found, expected);
  };
  if (drafter.vocab_size != verifier.vocab_size) {
    refuse("vocab_size", drafter.vocab_size, verifier.vocab_size);
  }
  if (drafter.target_hidden_size != verifier.hidden_size) {
    refuse("target hidden_size", drafter.target_hidden_size, verifier.hidden_size);
  }
  for (const int64_t id : drafter.aux_layer_ids) {
    if (id < 0 || id > verifier.num_layers()) {
      Throw(
          ErrorCode::kInvalidArgument,
          "drafter and verifier do not belong together: eagle_aux_hidden_state_layer_ids holds "
          "{}, but the verifier has {} layers; give the verifier that the drafter was trained for",
          id, verifier.num_layers());
    }
  }
}

}  // namespace talon

// A checkpoint folder as one set of tensors, whether it lies in one file or in shards with an
// index.
#include <set>

#include "talon/base/error.h"
#include "talon/base/json.h"
#include "talon/checkpoint/safetensors.h"

namespace talon {
namespace {

namespace fs = std::filesystem;

constexpr char kSingleFile[] = "model.safetensors";
constexpr char kIndexFile[] = "model.safetensors.index.json";

// Says what the folder holds instead of safetensors.
[[noreturn]] void ThrowNoWeights(const fs::path& directory) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    const std::string extension = entry.path().extension().string();
    if (extension == ".gguf" || extension == ".bin" || extension == ".pt" || extension == ".pth") {
      Throw(ErrorCode::kUnsupported,
            "{}: {} files are not supported; Talon reads the Hugging Face safetensors checkpoint",
            entry.path().string(), extension == ".gguf" ? "GGUF" : "pickled PyTorch");
    }
  }
  Throw(ErrorCode::kNotFound, "{}: no {} and no {} in this folder", directory.string(), kSingleFile,
        kIndexFile);
}

// The index's tensor name -> shard file name.
std::map<std::string, std::string> ReadWeightMap(const fs::path& index) {
  const Json json = ReadJsonFile(index);
  const auto found = json.find("weight_map");
  if (found == json.end() || !found->is_object() || found->empty()) {
    Throw(ErrorCode::kDataLoss, "{}: 'weight_map' is missing, empty or no JSON object",
          index.string());
  }
  std::map<std::string, std::string> weight_map;
  for (const auto& [tensor, file] : found->items()) {
    // A shard lies beside its index; anything else could reach outside the checkpoint.
    if (!file.is_string() || file.get<std::string>().empty() ||
        fs::path(file.get<std::string>()).filename() != file.get<std::string>()) {
      Throw(ErrorCode::kDataLoss, "{}: the shard of tensor '{}' is no plain file name",
            index.string(), tensor);
    }
    weight_map.emplace(tensor, file.get<std::string>());
  }
  return weight_map;
}

}  // namespace

TensorStore TensorStore::OpenFile(const fs::path& path) {
  TensorStore store;
  store.path_ = path;
  store.files_ = {path};
  store.shards_ = {std::make_shared<SafetensorsFile>(path)};
  store.tensors_ = store.shards_[0]->tensors();
  return store;
}

TensorStore TensorStore::Open(const fs::path& directory) {
  std::error_code error;
  if (!fs::is_directory(directory, error)) {
    Throw(ErrorCode::kNotFound, "{}: is no folder; expected a checkpoint folder",
          directory.string());
  }
  if (fs::exists(directory / kSingleFile, error)) {
    TensorStore store = OpenFile(directory / kSingleFile);
    store.path_ = directory;
    return store;
  }
  const fs::path index = directory / kIndexFile;
  if (!fs::exists(index, error)) ThrowNoWeights(directory);

  const std::map<std::string, std::string> weight_map = ReadWeightMap(index);
  std::set<std::string> names;
  for (const auto& [tensor, file] : weight_map) names.insert(file);
  TensorStore store;
  store.path_ = directory;
  for (const std::string& name : names) {
    store.files_.push_back(directory / name);
    store.shards_.push_back(std::make_shared<SafetensorsFile>(store.files_.back()));
    for (const auto& [tensor, view] : store.shards_.back()->tensors()) {
      const auto listed = weight_map.find(tensor);
      if (listed == weight_map.end() || listed->second != name) {
        Throw(ErrorCode::kDataLoss, "{}: holds tensor '{}', which {} {}",
              store.files_.back().string(), tensor, kIndexFile,
              listed == weight_map.end() ? "does not list" : "places in " + listed->second);
      }
      store.tensors_.emplace(tensor, view);
    }
  }
  for (const auto& [tensor, file] : weight_map) {
    if (!store.tensors_.contains(tensor)) {
      Throw(ErrorCode::kDataLoss, "{}: places tensor '{}' in {}, which lacks it", index.string(),
            tensor, file);
    }
  }
  return store;
}

const TensorView* TensorStore::Find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

const TensorView& TensorStore::Get(const std::string& name) const {
  const TensorView* tensor = Find(name);
  if (tensor == nullptr) {
    Throw(ErrorCode::kNotFound, "{}: tensor '{}' is missing (the checkpoint has {} tensors)",
          path_.string(), name, tensors_.size());
  }
  return *tensor;
}

std::vector<std::string_view> TensorStore::headers() const {
  std::vector<std::string_view> headers;
  for (const auto& shard : shards_) headers.push_back(shard->header());
  return headers;
}

}  // namespace talon

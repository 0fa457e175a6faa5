#include "talon/eval/trace_store.h"

#include <fcntl.h>
#include <fmt/ranges.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "talon/base/error.h"
#include "talon/base/json.h"
#include "talon/eval/trace_manifest.h"

namespace talon {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kManifestName = "manifest.json";

std::string TensorName(const TraceKey& key, std::string_view kind) {
  return fmt::format("{}.{}.{}", key.row, key.turn, kind);
}

std::string MetadataText(const Trace& trace) {
  const Json json = {{"id", trace.id},
                     {"category", trace.category},
                     {"prompt_tokens", trace.prompt_tokens},
                     {"answer_tokens", trace.answer_tokens},
                     {"finish", Name(trace.finish)}};
  return json.dump();
}

// Reads a number from the front of `text`; false when there is none.
bool TakeNumber(std::string_view& text, int64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return error == std::errc();
}

TraceKey ParseKey(const std::string& text, const fs::path& path) {
  TraceKey key;
  std::string_view rest = text;
  const bool row = TakeNumber(rest, key.row) && rest.starts_with('.');
  if (row) rest.remove_prefix(1);
  if (!row || !TakeNumber(rest, key.turn) || !rest.empty()) {
    Throw(ErrorCode::kDataLoss, "{}: metadata key '{}' is not ROW.TURN", path.string(), text);
  }
  return key;
}

// N of shard-N.safetensors; -1 for other files.
int64_t ShardNumber(const fs::path& path) {
  const std::string name = path.filename().string();
  std::string_view rest = name;
  int64_t number = -1;
  if (!rest.starts_with("shard-")) return -1;
  rest.remove_prefix(6);
  return TakeNumber(rest, number) && rest == ".safetensors" ? number : -1;
}

void CheckShape(const TensorView& tensor, DType dtype, const std::vector<int64_t>& shape,
                const fs::path& path) {
  if (tensor.dtype == dtype && tensor.shape == shape) return;
  Throw(ErrorCode::kDataLoss, "{}: tensor '{}' is {} {}; expected {} [{}]", path.string(),
        tensor.name, Name(tensor.dtype), tensor.ShapeText(), Name(dtype), fmt::join(shape, ", "));
}

}  // namespace

TraceStore::TraceStore(const fs::path& directory, const TraceManifest& manifest)
    : directory_(directory), manifest_(manifest) {
  const fs::path manifest_path = directory_ / kManifestName;
  if (!fs::exists(manifest_path)) {
    if (fs::exists(directory_) && !fs::is_empty(directory_)) {
      Throw(ErrorCode::kFailedPrecondition,
            "{}: exists and is not a trace folder (no {}); choose another folder",
            directory_.string(), kManifestName);
    }
    std::error_code error;
    fs::create_directories(directory_, error);
    if (error) {
      Throw(ErrorCode::kFailedPrecondition, "{}: cannot be created: {}", directory_.string(),
            error.message());
    }
    WriteManifest(manifest_path, manifest_);
    return;
  }
  CheckSameManifest(manifest_path, manifest_);
  for (const auto& file : fs::directory_iterator(directory_)) {
    const int64_t number = ShardNumber(file.path());
    if (number < 0) continue;
    LoadShard(file.path());
    next_shard_ = std::max(next_shard_, number + 1);
  }
}

TraceStore::~TraceStore() {
  if (lock_fd_ >= 0) ::close(lock_fd_);
}

void TraceStore::LoadShard(const fs::path& path) {
  const SafetensorsFile file(path);
  const auto tensor = [&](const std::string& name) -> const TensorView& {
    const auto found = file.tensors().find(name);
    if (found == file.tensors().end()) {
      Throw(ErrorCode::kDataLoss, "{}: tensor '{}' is missing; remove the shard to record it anew",
            path.string(), name);
    }
    return found->second;
  };
  for (const auto& [key_text, text] : file.metadata()) {
    const TraceKey key = ParseKey(key_text, path);
    const Json json = ParseJson(text, path.string());
    Entry entry;
    try {
      json.at("id").get_to(entry.id);
      json.at("category").get_to(entry.category);
      json.at("prompt_tokens").get_to(entry.prompt_tokens);
      json.at("answer_tokens").get_to(entry.answer_tokens);
      entry.finish = json.at("finish") == "stop" ? FinishReason::kStop : FinishReason::kLength;
    } catch (const Json::exception& error) {
      Throw(ErrorCode::kDataLoss, "{}: metadata of trace {}: {}", path.string(), key_text,
            error.what());
    }
    entry.tokens = tensor(TensorName(key, "tokens"));
    entry.features = tensor(TensorName(key, "features"));
    const int64_t recorded = entry.tokens.num_elements();
    if (entry.prompt_tokens < 1 || entry.answer_tokens < 1 || entry.prompt_tokens > recorded ||
        entry.answer_tokens > recorded - entry.prompt_tokens) {
      Throw(ErrorCode::kDataLoss, "{}: trace {} has {} tokens; its metadata says {} + {}",
            path.string(), key_text, recorded, entry.prompt_tokens, entry.answer_tokens);
    }
    CheckShape(entry.tokens, DType::kI32, {recorded}, path);
    CheckShape(entry.features, manifest_.dtype,
               {entry.prompt_tokens + entry.answer_tokens - 1, manifest_.feature_size()}, path);
    entries_[key] = std::move(entry);
  }
}

Trace TraceStore::Read(const TraceKey& key) const {
  const auto found = entries_.find(key);
  if (found == entries_.end()) {
    Throw(ErrorCode::kNotFound, "{}: no trace of row {}, turn {}", directory_.string(), key.row,
          key.turn);
  }
  const Entry& entry = found->second;
  Trace trace;
  trace.key = key;
  trace.id = entry.id;
  trace.category = entry.category;
  trace.finish = entry.finish;
  trace.prompt_tokens = entry.prompt_tokens;
  trace.answer_tokens = entry.answer_tokens;
  trace.tokens.resize(static_cast<size_t>(entry.tokens.num_elements()));
  std::memcpy(trace.tokens.data(), entry.tokens.bytes.data(), entry.tokens.bytes.size());
  trace.features = entry.features.bytes;
  return trace;
}

void TraceStore::Release(const TraceKey& key) const {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return;
  const TensorView& features = found->second.features;
  const auto offset = features.bytes.data() - features.file->bytes().data();
  features.file->Release(static_cast<size_t>(offset), features.bytes.size());
}

void TraceStore::Append(const std::vector<Trace>& traces) {
  if (traces.empty()) return;
  Lock();
  std::vector<TensorSpec> specs;
  std::map<std::string, std::string> metadata;
  std::map<std::string, std::span<const std::byte>> bytes;
  for (const Trace& trace : traces) {
    const std::string tokens = TensorName(trace.key, "tokens");
    const std::string features = TensorName(trace.key, "features");
    specs.push_back({tokens, DType::kI32, {static_cast<int64_t>(trace.tokens.size())}});
    specs.push_back({features, manifest_.dtype, {trace.feature_rows(), manifest_.feature_size()}});
    metadata[fmt::format("{}.{}", trace.key.row, trace.key.turn)] = MetadataText(trace);
    bytes[tokens] = std::as_bytes(std::span(trace.tokens));
    bytes[features] = trace.features;
  }
  const fs::path path = directory_ / fmt::format("shard-{:05}.safetensors", next_shard_);
  WriteSafetensors(
      path, std::move(specs), metadata,
      [&](const TensorSpec& spec, const AppendBytes& append) { append(bytes.at(spec.name)); });
  LoadShard(path);
  ++next_shard_;
}

// One writer at a time; what an earlier one left unfinished is removed.
void TraceStore::Lock() {
  if (lock_fd_ >= 0) return;
  const fs::path path = directory_ / "lock";
  const int fd = ::open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644);
  if (fd < 0) {
    Throw(ErrorCode::kFailedPrecondition, "{}: cannot be opened: {}", path.string(),
          std::strerror(errno));
  }
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    ::close(fd);
    Throw(ErrorCode::kFailedPrecondition, "{}: another process is recording here; wait for it",
          directory_.string());
  }
  lock_fd_ = fd;
  for (const auto& file : fs::directory_iterator(directory_)) {
    const std::string name = file.path().filename().string();
    if (name.starts_with("shard-") && name.find(".partial") != std::string::npos) {
      fs::remove(file.path());
    }
  }
}

}  // namespace talon

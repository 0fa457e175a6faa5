// Traces on disk: a folder with manifest.json, which says what the traces depend on, and
// safetensors shards, each a batch of finished prompts. Shards appear whole or not at all, so an
// interrupted run goes on where it stopped. Features stay in the mapped files and are never all in
// memory.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "talon/checkpoint/safetensors.h"
#include "talon/eval/trace.h"
#include "talon/numeric/dtype.h"

namespace talon {

// Everything that determines a trace, and hence whether a store may be used.
struct TraceManifest {
  std::string verifier;           // path, for the reader; not compared
  std::string verifier_identity;  // CheckpointIdentity
  std::string verifier_numerics;  // e.g. "BF16 (50 linears)"
  DType dtype = DType::kBF16;     // of activations and features
  std::string data_sha256;        // DataIdentity of the prompts
  std::string chat_format;        // "gemma3", ..., or "raw"
  std::string turns;              // "first" or "all"
  int64_t max_tokens = 0;
  int64_t tail_tokens = 0;  // recorded after the end of an answer; bounds k
  std::vector<int32_t> stop_token_ids;
  std::vector<int64_t> aux_layer_ids;  // ascending
  int64_t hidden_size = 0;

  int64_t feature_size() const { return static_cast<int64_t>(aux_layer_ids.size()) * hidden_size; }
};

class TraceStore {
 public:
  // Opens the folder, or creates it with `manifest`. Throws kFailedPrecondition, naming the field,
  // when it holds traces of another verifier, data set or setting.
  TraceStore(const std::filesystem::path& directory, const TraceManifest& manifest);
  ~TraceStore();
  TraceStore(const TraceStore&) = delete;
  TraceStore& operator=(const TraceStore&) = delete;

  const TraceManifest& manifest() const { return manifest_; }
  const std::filesystem::path& directory() const { return directory_; }

  bool Contains(const TraceKey& key) const { return entries_.contains(key); }
  int64_t size() const { return static_cast<int64_t>(entries_.size()); }
  // Throws kNotFound. `features` is valid while the store lives.
  Trace Read(const TraceKey& key) const;
  // Lets the kernel drop a trace's features from memory.
  void Release(const TraceKey& key) const;

  // Writes the traces as one shard. Throws kFailedPrecondition when another process writes here.
  void Append(const std::vector<Trace>& traces);

 private:
  struct Entry {
    std::string id;
    std::string category;
    FinishReason finish = FinishReason::kStop;
    int64_t prompt_tokens = 0;
    int64_t answer_tokens = 0;
    TensorView tokens;    // I32 [prompt + answer + tail]
    TensorView features;  // [prompt + answer - 1, feature_size]
  };
  void LoadShard(const std::filesystem::path& path);
  void Lock();

  std::filesystem::path directory_;
  TraceManifest manifest_;
  std::map<TraceKey, Entry> entries_;
  int64_t next_shard_ = 0;
  int lock_fd_ = -1;
};

}  // namespace talon

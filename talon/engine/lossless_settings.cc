#include "talon/engine/lossless_settings.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <utility>

#include "talon/engine/kv_plan.h"

namespace talon {
namespace {

constexpr int64_t kMaxDrafts = 8;
constexpr int64_t kConcurrent = 8;
// The smallest is raised to what a step of all decoding requests needs.
constexpr std::array<int64_t, 3> kChunks = {1, 100, 512};

class SettingList {
 public:
  SettingList(const GemmaConfig& verifier, const EngineOptions& served, int64_t drafts)
      : verifier_(verifier), base_(served), drafts_(drafts) {
    base_.max_num_seqs = std::max(base_.max_num_seqs, kConcurrent);
    base_.num_speculative_tokens = drafts;
    base_.max_num_batched_tokens =
        std::max(base_.max_num_batched_tokens, base_.max_num_seqs * (1 + drafts));
    base_.enable_prefix_caching = false;
  }

  const EngineOptions& base() const { return base_; }
  void Add(std::string name, EngineOptions options, LosslessPasses passes = {}, int threads = 0) {
    settings_.push_back({std::move(name), std::move(options), passes, threads});
  }

  void AddDrafts(bool has_drafter) {
    for (const int64_t seqs : {base_.max_num_seqs, int64_t{1}}) {
      const std::string among = seqs == 1 ? "alone" : fmt::format("{} at a time", seqs);
      EngineOptions options = base_;
      options.max_num_seqs = seqs;
      options.num_speculative_tokens = 0;
      if (seqs > 1) Add("no drafts, " + among, options);
      for (int64_t k = 1; has_drafter && k <= kMaxDrafts; ++k) {
        options.num_speculative_tokens = k;
        Add(fmt::format("{} draft{}, {}", k, k == 1 ? "" : "s", among), options);
      }
    }
  }

  void AddChunks() {
    for (const int64_t chunk : kChunks) {
      EngineOptions options = base_;
      options.enable_chunked_prefill = true;
      options.max_num_batched_tokens = std::max(chunk, options.max_num_seqs * (1 + drafts_));
      Add(fmt::format("chunks of {} tokens", options.max_num_batched_tokens), options);
    }
  }

  void AddPrefixCache() {
    EngineOptions options = base_;
    options.enable_prefix_caching = true;
    Add("prefix cache, missed and hit", options, {.count = 2});
    if (drafts_ == 0) return;
    options.num_speculative_tokens = 0;
    Add("prefix cache, missed and hit, no drafts", options, {.count = 2});
  }

  // Room for one and a half of the longest requests, so that of those that run together some lose
  // their pages.
  void AddPreemption(std::span<const GenerationRequest> requests) {
    int64_t longest = 0;
    for (const GenerationRequest& request : requests) {
      longest = std::max(longest, std::ssize(request.prompt_ids) + request.max_tokens + drafts_);
    }
    longest = std::min(longest, base_.max_model_len);
    EngineOptions options = base_;
    const int64_t sliding =
        KvPool::SlidingPagesFor(longest, MaxSlidingPositions(verifier_, options));
    options.kv_pages =
        KvPages{options.max_num_seqs * sliding, KvPool::PagesFor(longest + longest / 2)};
    Add("preempted", options);
    options.enable_prefix_caching = true;
    Add("preempted, prefix cache", options);
  }

  std::vector<LosslessSetting> Take() { return std::move(settings_); }

 private:
  const GemmaConfig& verifier_;
  EngineOptions base_;
  int64_t drafts_;
  std::vector<LosslessSetting> settings_;
};

}  // namespace

EngineOptions LosslessReference(const EngineOptions& served) {
  EngineOptions options = served;
  options.max_num_seqs = 1;
  options.num_speculative_tokens = 0;
  options.enable_prefix_caching = false;
  return options;
}

std::vector<LosslessSetting> LosslessSettings(const GemmaConfig& verifier,
                                              const EngineOptions& served, bool has_drafter,
                                              const LosslessScope& scope) {
  SettingList list(verifier, served, served.num_speculative_tokens);
  list.Add("as served", served);
  list.AddDrafts(has_drafter);
  list.AddChunks();
  list.AddPrefixCache();
  list.AddPreemption(scope.requests);
  for (const int threads : scope.thread_counts) {
    list.Add(fmt::format("{} thread{}", threads, threads == 1 ? "" : "s"), list.base(), {},
             threads);
  }
  list.Add(fmt::format("first and after {} requests", scope.requests_between), served,
           {.count = 2, .requests_between = scope.requests_between});
  return list.Take();
}

}  // namespace talon

#include "talon/engine/kv_plan.h"

#include <algorithm>

#include "talon/base/error.h"
#include "talon/engine/kv_pool.h"
#include "talon/model/drafter.h"

namespace talon {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;

double MiB(int64_t bytes) { return static_cast<double>(bytes) / kMiB; }

// K and V of one page over all layers of one kind.
int64_t PageBytes(const GemmaConfig& config, AttentionKind kind, DType dtype) {
  int64_t columns = 0;
  for (int64_t layer = 0; layer < config.num_layers(); ++layer) {
    if (config.layer_types[static_cast<size_t>(layer)] != kind) continue;
    const AttentionConfig& attention = config.attention(layer);
    columns += attention.num_kv_heads * attention.head_dim;
  }
  return 2 * columns * kKvPageTokens * SizeOf(dtype);
}

// As many pages as `bytes` pay for: the first sequence's whole, then all in proportion.
KvPages Afford(const KvPlan& plan, const KvPages& wanted, int64_t bytes) {
  const KvPages& one = plan.sequence_pages;
  const int64_t first = plan.Bytes(one);
  if (bytes < first) {
    Throw(ErrorCode::kResourceExhausted,
          "one request of {} tokens needs {:.1f} MiB of KV cache, and {:.1f} MiB are available; "
          "lower max_model_len or give the cache more memory",
          plan.max_model_len, MiB(first), MiB(bytes));
  }
  const KvPages rest = {wanted.sliding - one.sliding, wanted.global - one.global};
  const int64_t rest_bytes = plan.Bytes(rest);
  if (rest_bytes <= bytes - first) return wanted;
  const double share = static_cast<double>(bytes - first) / static_cast<double>(rest_bytes);
  const auto part = [share](int64_t count) {
    return static_cast<int64_t>(share * static_cast<double>(count));
  };
  return {one.sliding + part(rest.sliding), one.global + part(rest.global)};
}

}  // namespace

EngineOptions ResolveEngineOptions(const GemmaConfig& verifier, const Drafter* drafter,
                                   EngineOptions options) {
  if (options.max_model_len == 0) options.max_model_len = verifier.max_position_embeddings;
  if (options.max_model_len > verifier.max_position_embeddings) {
    Throw(ErrorCode::kInvalidArgument, "max_model_len {} exceeds the verifier's {} positions",
          options.max_model_len, verifier.max_position_embeddings);
  }
  if (options.num_speculative_tokens > 0 && drafter == nullptr) {
    Throw(ErrorCode::kInvalidArgument, "num_speculative_tokens is {}, but there is no drafter",
          options.num_speculative_tokens);
  }
  for (const int64_t drafts : options.drafts_by_batch_size) {
    if (drafts >= 0 && drafts <= options.num_speculative_tokens) continue;
    Throw(ErrorCode::kInvalidArgument,
          "drafts by batch size: {} is not between 0 and num_speculative_tokens, {}", drafts,
          options.num_speculative_tokens);
  }
  options.max_num_batched_tokens = std::max(
      options.max_num_batched_tokens, options.max_num_seqs * (1 + options.num_speculative_tokens));
  if (!options.enable_chunked_prefill) {
    options.max_num_batched_tokens =
        std::max(options.max_num_batched_tokens, options.max_model_len);
  }
  return options;
}

int64_t MaxSlidingPositions(const GemmaConfig& verifier, const EngineOptions& options) {
  return verifier.sliding_window +
         std::max(options.max_num_batched_tokens, options.num_speculative_tokens + 1);
}

KvPlan PlanKv(const GemmaConfig& verifier, const Drafter* drafter, const EngineOptions& options) {
  KvPlan plan;
  plan.max_num_seqs = options.max_num_seqs;
  plan.max_model_len = options.max_model_len;
  plan.sliding_page_bytes = PageBytes(verifier, AttentionKind::kSliding, options.kv_dtype);
  plan.full_page_bytes = PageBytes(verifier, AttentionKind::kFull, options.kv_dtype);
  if (drafter != nullptr) {
    plan.drafter_page_bytes = 2 * drafter->kv_columns() * kKvPageTokens *
                              SizeOf(options.drafter_kv_dtype.value_or(options.kv_dtype));
  }
  plan.sequence_pages = {
      KvPool::SlidingPagesFor(options.max_model_len, MaxSlidingPositions(verifier, options)),
      KvPool::PagesFor(options.max_model_len)};
  const KvPages all = {options.max_num_seqs * plan.sequence_pages.sliding,
                       options.max_num_seqs * plan.sequence_pages.global};
  plan.pages = all;
  if (options.kv_pages) {
    plan.pages = *options.kv_pages;
  } else if (options.kv_cache_bytes > 0) {
    plan.pages = Afford(plan, all, options.kv_cache_bytes);
  }
  return plan;
}

std::vector<std::string> FormatKvPlan(const KvPlan& plan) {
  std::vector<std::string> lines;
  const auto line = [&lines](const char* family, int64_t pages, int64_t page_bytes) {
    lines.push_back(fmt::format("{:<16} {:>9} pages x {:>9.3f} KiB = {:>10.1f} MiB", family, pages,
                                static_cast<double>(page_bytes) / 1024.0, MiB(pages * page_bytes)));
  };
  lines.push_back(fmt::format("KV cache, {} tokens a page:", kKvPageTokens));
  line("sliding layers", plan.pages.sliding, plan.sliding_page_bytes);
  line("full layers", plan.pages.global, plan.full_page_bytes);
  if (plan.drafter_page_bytes > 0) line("drafter", plan.pages.global, plan.drafter_page_bytes);
  const double whole =
      static_cast<double>(plan.pages.global) / static_cast<double>(plan.sequence_pages.global);
  lines.push_back(fmt::format(
      "{:<16} {:.1f} MiB; {} tokens in full layers: {:.1f} requests of {} tokens, of up to {} at "
      "a time",
      "in all", MiB(plan.Bytes(plan.pages)), plan.pages.global * kKvPageTokens, whole,
      plan.max_model_len, plan.max_num_seqs));
  return lines;
}

}  // namespace talon

#include "talon/engine/kv_budget.h"

#include <algorithm>

#include "talon/base/error.h"
#include "talon/engine/kv_plan.h"
#include "talon/engine/kv_pool.h"
#include "talon/engine/token_chooser.h"
#include "talon/model/drafter.h"

namespace talon {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;

double MiB(int64_t bytes) { return static_cast<double>(bytes) / kMiB; }

// Columns that one layer's attention and MLP hold per row; the largest kind of layer.
int64_t LayerColumns(const GemmaConfig& config) {
  int64_t most = 0;
  for (const AttentionConfig& attention : {config.sliding, config.full}) {
    const int64_t q = config.num_attention_heads * attention.head_dim;
    const int64_t kv = attention.num_kv_heads * attention.head_dim;
    most = std::max(most, 2 * q + 2 * kv);
  }
  return most + 2 * config.hidden_size + 2 * config.intermediate_size;
}

}  // namespace

KvBudget MakeKvBudget(const DeviceMemory& memory, double utilization, int64_t weight_bytes,
                      int64_t scratch_bytes) {
  KvBudget budget;
  budget.total_bytes = memory.total_bytes;
  budget.utilization = utilization;
  budget.used_bytes = memory.total_bytes - memory.free_bytes;
  if (memory.weights_count_as_free) budget.used_bytes += weight_bytes;
  budget.scratch_bytes = scratch_bytes;
  if (budget.kv_bytes() > 0) return budget;
  Throw(ErrorCode::kResourceExhausted,
        "no memory is left for a KV cache: {:.2f} of {:.1f} MiB may be used, weights and other "
        "programs take {:.1f} MiB and the largest step {:.1f} MiB; raise --gpu-memory-utilization "
        "or lower --max-num-batched-tokens",
        utilization, MiB(memory.total_bytes), MiB(budget.used_bytes), MiB(scratch_bytes));
}

int64_t StepScratchBytes(const GemmaConfig& verifier, const Drafter* drafter, DType dtype,
                         const EngineOptions& options) {
  const int64_t rows = options.max_num_batched_tokens;
  const int64_t decoding =
      std::min(rows, options.max_num_seqs * (1 + options.num_speculative_tokens));
  const int64_t features = drafter != nullptr ? drafter->feature_size() : 0;
  const int64_t kept =
      rows * (verifier.hidden_size + features) * SizeOf(dtype) +
      rows * (verifier.sliding.head_dim + verifier.full.head_dim) * SizeOf(DType::kF32);
  const int64_t layer = rows * LayerColumns(verifier) * SizeOf(dtype);
  // Logits twice: before and after penalties.
  const int64_t logits =
      std::min(decoding, TokenChooser::kLogitRows) *
      (2 * verifier.vocab_size * SizeOf(DType::kF32) + 2 * verifier.hidden_size * SizeOf(dtype));
  int64_t draft = 0;
  if (drafter != nullptr) {
    const int64_t pass = drafter->scratch_columns() + drafter->hidden_size();
    draft =
        (rows * (features + pass) +
         options.max_num_seqs * std::max<int64_t>(0, options.num_speculative_tokens - 1) * pass) *
            SizeOf(dtype) +
        options.max_num_seqs * drafter->draft_vocab_size() * SizeOf(DType::kF32);
  }
  return kept + std::max({layer, logits, draft});
}

int64_t FitMaxModelLen(const GemmaConfig& verifier, const Drafter* drafter, EngineOptions options,
                       int64_t kv_bytes) {
  options.kv_cache_bytes = 0;
  options.kv_pages.reset();
  const auto fits = [&](int64_t length) {
    options.max_model_len = length;
    const KvPlan plan = PlanKv(verifier, drafter, options);
    return plan.Bytes(plan.sequence_pages) <= kv_bytes;
  };
  if (fits(verifier.max_position_embeddings)) return verifier.max_position_embeddings;
  int64_t pages = 0;  // fit
  int64_t too_many = KvPool::PagesFor(verifier.max_position_embeddings);
  while (too_many - pages > 1) {
    const int64_t middle = pages + (too_many - pages) / 2;
    (fits(middle * kKvPageTokens) ? pages : too_many) = middle;
  }
  if (pages > 0) return pages * kKvPageTokens;
  Throw(ErrorCode::kResourceExhausted,
        "{:.1f} MiB do not hold the KV cache of {} tokens; give it more memory", MiB(kv_bytes),
        kKvPageTokens);
}

std::vector<std::string> FormatKvBudget(const KvBudget& budget) {
  const auto line = [](const char* name, int64_t bytes) {
    return fmt::format("{:<34} {:>10.1f} MiB", name, MiB(bytes));
  };
  const int64_t limit = budget.kv_bytes() + budget.used_bytes + budget.scratch_bytes;
  return {line("memory", budget.total_bytes),
          line(fmt::format("{:.2f} of it", budget.utilization).c_str(), limit),
          line("- weights, other programs", budget.used_bytes),
          line("- activations of the largest step", budget.scratch_bytes),
          line("= most for the KV cache", budget.kv_bytes())};
}

}  // namespace talon

// What the protocol needs to know of the model it speaks for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "talon/serve/answer_text.h"
#include "talon/text/chat.h"
#include "talon/text/tokenizer.h"

namespace talon {

// What a request gets that leaves these fields out: generation_config.json's values, or vLLM's
// neutral ones.
struct SamplingDefaults {
  double temperature = 1.0;
  int64_t top_k = 0;
  double top_p = 1.0;
};

// vLLM's --per-request-spec-decode-metrics.
enum class SpecMetricsLevel : uint8_t { kNone, kSummary, kDetailed };
// "none", "summary" or "detailed"; nullopt for others.
std::optional<SpecMetricsLevel> ParseSpecMetricsLevel(const std::string& name);

struct ServedModel {
  std::vector<std::string> names;  // at least one; the first is the model's own
  std::string root;                // the checkpoint's folder or name
  const Tokenizer* tokenizer = nullptr;
  std::optional<ChatFormat> chat_format;
  std::optional<ReasoningMarkers> reasoning;
  SamplingDefaults sampling;
  std::vector<int32_t> stop_token_ids;
  int32_t vocab_size = 0;
  int64_t max_model_len = 0;
  int64_t num_speculative_tokens = 0;
  SpecMetricsLevel spec_metrics = SpecMetricsLevel::kNone;
  std::string system_fingerprint;
  int64_t created = 0;  // seconds since 1970
};

}  // namespace talon

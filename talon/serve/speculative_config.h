// vLLM's --speculative-config JSON, checked. Keys nobody knows are refused with the nearest name,
// values Talon does not implement by name. Source: vLLM 0.32 config/speculative.py.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "talon/numeric/dtype.h"

namespace talon {

struct SpeculativeConfig {
  std::string model;                              // the drafter, with @revision when one is given
  std::optional<int64_t> num_speculative_tokens;  // none: auto, or the most of the table
  // num_speculative_tokens_per_batch_size, expanded: drafts at [batch size - 1]; empty: no table.
  std::vector<int64_t> drafts_by_batch_size;
  std::optional<DType> kv_cache_dtype;      // none: the verifier's
  std::vector<std::string> without_effect;  // keys that are accepted and change nothing
};

// vLLM's names of KV cache types that Talon has: "auto", "bfloat16", "fp8", "fp8_e4m3".
const std::vector<std::string>& KvCacheDTypeNames();
// nullopt for "auto". Throws kInvalidArgument for a name that is not one of these.
std::optional<DType> ParseKvCacheDType(const std::string& name);

// Throws kInvalidArgument or kUnsupported naming the key.
SpeculativeConfig ParseSpeculativeConfig(std::string_view json);

}  // namespace talon

// One prompt's greedy answer and the drafter's inputs along it: all that replaying a drafter needs.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "talon/engine/request.h"

namespace talon {

// Which prompt of a data set: the row (counted over all files, from 0) and the user turn within it.
struct TraceKey {
  int64_t row = 0;
  int64_t turn = 0;
  // clang-tidy 14 takes the comparison's 0 for a pointer.
  auto operator<=>(const TraceKey&) const = default;  // NOLINT(modernize-use-nullptr)
};

struct Trace {
  TraceKey key;
  std::string id;
  std::string category;
  FinishReason finish = FinishReason::kStop;  // kStop or kLength
  int64_t prompt_tokens = 0;
  int64_t answer_tokens = 0;  // the stop token, if any, is the last
  // Prompt, answer, and what greedy decoding gives after the end: the last round's drafts are
  // compared with it, since vLLM counts acceptance before it looks for a stop.
  std::vector<int32_t> tokens;  // [prompt_tokens + answer_tokens + tail]
  // Aux hidden states of every position whose successor belongs to the answer or prompt, in the
  // store's dtype: [feature_rows(), feature_size]. In a trace that was read they lie in the mapped
  // shard.
  std::span<const std::byte> features;

  int64_t feature_rows() const { return prompt_tokens + answer_tokens - 1; }
  std::span<const int32_t> prompt() const {
    return std::span(tokens).first(static_cast<size_t>(prompt_tokens));
  }
  std::span<const int32_t> answer() const {
    return std::span(tokens).subspan(static_cast<size_t>(prompt_tokens),
                                     static_cast<size_t>(answer_tokens));
  }
  // Answer tokens, then the tail.
  std::span<const int32_t> continuation() const {
    return std::span(tokens).subspan(static_cast<size_t>(prompt_tokens));
  }
};

}  // namespace talon

// What a request's own text does to its logits: penalties, biases, and tokens that may not come
// yet. A row that follows drafts sees them as if they had been committed, so that an answer is the
// same with and without drafts. Source: vLLM's v1/sample (penalties after biases).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "talon/backend/backend.h"
#include "talon/engine/request.h"

namespace talon {

class TokenHistory {
 public:
  // Null when the request's settings never change a logit.
  static std::unique_ptr<TokenHistory> For(const GenerationRequest& request);

  // The answer grows by `token`.
  void Commit(int32_t token);
  // Appends the adjustments of batch row `row`, which comes after the answer and then `drafts`.
  void Append(std::span<const int32_t> drafts, int32_t row,
              std::vector<LogitAdjustment>& adjustments);

 private:
  explicit TokenHistory(const GenerationRequest& request);

  struct Token {
    float bias = 0.0f;
    bool held_back = false;
    bool in_prompt = false;
    int64_t count = 0;  // in the answer
  };
  LogitAdjustment Adjust(int32_t id, const Token& token, bool hold_back) const;

  float repetition_;
  float presence_;
  float frequency_;
  bool counts_;  // whether any penalty is set
  int64_t min_tokens_;
  int64_t num_generated_ = 0;
  std::unordered_map<int32_t, Token> tokens_;  // those that may need an adjustment
};

}  // namespace talon

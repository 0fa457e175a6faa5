#include "talon/engine/token_history.h"

#include <cmath>

namespace talon {
namespace {

bool HasPenalty(const SamplingParams& sampling) {
  return sampling.repetition_penalty != 1.0 || sampling.presence_penalty != 0.0 ||
         sampling.frequency_penalty != 0.0;
}

}  // namespace

std::unique_ptr<TokenHistory> TokenHistory::For(const GenerationRequest& request) {
  const SamplingParams& sampling = request.sampling;
  if (!HasPenalty(sampling) && sampling.logit_bias.empty() && sampling.min_tokens <= 0) {
    return nullptr;
  }
  return std::unique_ptr<TokenHistory>(new TokenHistory(request));
}

TokenHistory::TokenHistory(const GenerationRequest& request)
    : repetition_(static_cast<float>(request.sampling.repetition_penalty)),
      presence_(static_cast<float>(request.sampling.presence_penalty)),
      frequency_(static_cast<float>(request.sampling.frequency_penalty)),
      counts_(HasPenalty(request.sampling)),
      min_tokens_(request.sampling.min_tokens) {
  for (const auto& [id, bias] : request.sampling.logit_bias) tokens_[id].bias = bias;
  if (min_tokens_ > 0) {
    for (const int32_t id : request.stop_token_ids) tokens_[id].held_back = true;
    for (const int32_t id : request.held_back_token_ids) tokens_[id].held_back = true;
  }
  if (repetition_ != 1.0f) {
    for (const int32_t id : request.prompt_ids) tokens_[id].in_prompt = true;
  }
}

void TokenHistory::Commit(int32_t token) {
  ++num_generated_;
  if (counts_) ++tokens_[token].count;
}

LogitAdjustment TokenHistory::Adjust(int32_t id, const Token& token, bool hold_back) const {
  LogitAdjustment adjustment;
  adjustment.token = id;
  adjustment.bias = hold_back && token.held_back ? -INFINITY : token.bias;
  if (token.in_prompt || token.count > 0) adjustment.repetition = repetition_;
  if (token.count > 0) {
    adjustment.frequency = frequency_ * static_cast<float>(token.count);
    adjustment.presence = presence_;
  }
  return adjustment;
}

void TokenHistory::Append(std::span<const int32_t> drafts, int32_t row,
                          std::vector<LogitAdjustment>& adjustments) {
  if (counts_) {
    for (const int32_t draft : drafts) ++tokens_[draft].count;
  }
  const bool hold_back = num_generated_ + static_cast<int64_t>(drafts.size()) < min_tokens_;
  for (const auto& [id, token] : tokens_) {
    LogitAdjustment adjustment = Adjust(id, token, hold_back);
    adjustment.row = row;
    adjustments.push_back(adjustment);
  }
  if (counts_) {
    for (const int32_t draft : drafts) --tokens_[draft].count;
  }
}

}  // namespace talon

// Tokens from logits rows: penalties and biases, sampling with temperature, min_p, top_k, top_p,
// log-probabilities, and verification.
#pragma once

#include <cstdint>

#include "talon/backend/backend.h"
#include "talon/backend/tensor.h"

namespace talon::cpu {

// The lowest logit a token may have. Filters apply in vLLM's order on the softmax at the row's
// temperature: min_p keeps p >= min_p * max p; top_k keeps the k largest; top_p then keeps a token
// while the mass of strictly likelier ones, renormalized over what is left, is below top_p. Equal
// logits share their fate; the likeliest token always stays. temperature > 0.
float SmallestAllowedLogit(const float* logits /* [vocab] */, int64_t vocab,
                           const SamplingRow& row);

// argmax(logit / temperature + Gumbel(seed, position, token)) over the allowed tokens; at
// temperature 0 the argmax of the logits. Ties go to the lowest id; -1 when a logit is NaN.
int32_t SampleToken(const float* logits /* [vocab] */, int64_t vocab, const SamplingRow& row);

// The logit as `adjustment` changes it.
float AdjustedLogit(float logit, const LogitAdjustment& adjustment);

// Row `row` of Backend::Logprobs.
void LogprobsRow(const float* logits /* [vocab] */, int64_t vocab, int32_t token, int64_t row,
                 const LogprobOutput& out);

// Length of the agreement between drafts and the verifier's tokens; see Backend::VerifyDrafts.
int32_t CountAccepted(const int32_t* inputs, const int32_t* tokens, int64_t begin, int64_t end);

}  // namespace talon::cpu

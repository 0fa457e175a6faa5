// Softcap and argmax of logits rows, vectorized and spread over the threads within a row too: a
// decode step has one row of 262,144.
#pragma once

#include <cstdint>

#include "talon/backend/tensor.h"
#include "talon/base/thread_pool.h"

namespace talon::cpu {

// logits = cap * tanh(logits / cap), F32 in place.
void RunSoftcap(float cap, const Tensor& logits, ThreadPool& pool);

// The lowest id of the largest logit; -1 when a logit is NaN.
int32_t ArgmaxRow(const float* row /* [cols] */, int64_t cols) noexcept;

// Sum of exp((logit - largest) / temperature) over the logits that are at least `floor`.
double SumOfWeights(const float* row /* [cols] */, int64_t cols, float floor, float largest,
                    float temperature) noexcept;

}  // namespace talon::cpu

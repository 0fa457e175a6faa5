// See logits_ops.h.
#include "talon/backend/cpu/logits_ops.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "talon/backend/cpu/logits_ops.cc"
// clang-format off
#include "talon/backend/cpu/highway_targets.h"
#include <hwy/foreach_target.h>
// clang-format on
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "talon/backend/cpu/lanes-inl.h"
#include "talon/backend/cpu/reference.h"

HWY_BEFORE_NAMESPACE();
namespace talon::cpu::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

void Softcap(float cap, float* row, int64_t cols) {
  for (int64_t c = 0; c < cols; ++c) row[c] = cap * std::tanh(row[c] / cap);
}

int32_t Argmax(const float* row, int64_t cols) {
  int32_t token = 0;
  reference::Argmax({const_cast<float*>(row), DType::kF32, 1, cols, cols}, &token, {0, 1});
  return token;
}

double Weights(const float* row, int64_t cols, float floor, float largest, float temperature) {
  double sum = 0.0;
  for (int64_t c = 0; c < cols; ++c) {
    if (row[c] >= floor) sum += std::exp((row[c] - largest) / temperature);
  }
  return sum;
}

#else

void Softcap(float cap, float* row, int64_t cols) {
  const F32 d;
  for (int64_t c = 0; c < cols; c += kVectorLanes) {
    const VF32 scaled = hn::Div(LoadSome(row + c, cols - c), hn::Set(d, cap));
    StoreSome(hn::Mul(hn::Tanh(d, scaled), hn::Set(d, cap)), row + c, cols - c);
  }
}

// The row's maximum first, then its lowest index: two streaming passes.
int32_t Argmax(const float* row, int64_t cols) {
  const F32 d;
  VF32 largest = hn::Set(d, -std::numeric_limits<float>::infinity());
  auto nan = hn::Ne(largest, largest);  // none yet
  int64_t col = 0;
  for (; col + kVectorLanes <= cols; col += kVectorLanes) {
    const VF32 x = hn::LoadU(d, row + col);
    largest = hn::Max(largest, x);
    nan = hn::Or(nan, hn::IsNaN(x));
  }
  bool has_nan = !hn::AllFalse(d, nan);
  float best = hn::GetLane(hn::MaxOfLanes(d, largest));
  for (; col < cols; ++col) {
    has_nan = has_nan || std::isnan(row[col]);
    best = std::max(best, row[col]);
  }
  if (has_nan) return -1;
  int64_t at = 0;
  for (; at + kVectorLanes <= cols; at += kVectorLanes) {
    const auto equal = hn::Eq(hn::LoadU(d, row + at), hn::Set(d, best));
    const intptr_t lane = hn::FindFirstTrue(d, equal);
    if (lane >= 0) return static_cast<int32_t>(at + lane);
  }
  while (row[at] != best) ++at;
  return static_cast<int32_t>(at);
}

// FP32 exponentials, added in FP64 per lane and then over the lanes.
double Weights(const float* row, int64_t cols, float floor, float largest, float temperature) {
  const F32 d;
  double lanes[kLanes] = {};
  HWY_ALIGN float weights[kLanes];
  for (int64_t c = 0; c < cols; c += kVectorLanes) {
    const VF32 x = LoadSome(row + c, cols - c);
    const VF32 scaled = hn::Div(hn::Sub(x, hn::Set(d, largest)), hn::Set(d, temperature));
    const auto allowed = hn::Ge(x, hn::Set(d, floor));
    hn::Store(hn::IfThenElseZero(allowed, hn::Exp(d, scaled)), d, weights);
    const int64_t count = std::min(kVectorLanes, cols - c);
    for (int64_t i = 0; i < count; ++i) lanes[(c + i) % kLanes] += weights[i];
  }
  double sum = 0.0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

#endif

}  // namespace talon::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace talon::cpu {

HWY_EXPORT(Softcap);
HWY_EXPORT(Argmax);
HWY_EXPORT(Weights);

void RunSoftcap(float cap, const Tensor& logits, ThreadPool& pool) {
  constexpr int64_t kChunk = 16384;
  const int64_t chunks = (logits.cols + kChunk - 1) / kChunk;
  pool.Run(logits.rows * chunks, [&](int64_t task) {
    const int64_t begin = task % chunks * kChunk;
    float* row = static_cast<float*>(logits.data) + task / chunks * logits.row_stride;
    HWY_DYNAMIC_DISPATCH(Softcap)(cap, row + begin, std::min(kChunk, logits.cols - begin));
  });
}

double SumOfWeights(const float* row, int64_t cols, float floor, float largest,
                    float temperature) noexcept {
  return HWY_DYNAMIC_DISPATCH(Weights)(row, cols, floor, largest, temperature);
}

int32_t ArgmaxRow(const float* row, int64_t cols) noexcept {
  return HWY_DYNAMIC_DISPATCH(Argmax)(row, cols);
}

}  // namespace talon::cpu

#endif

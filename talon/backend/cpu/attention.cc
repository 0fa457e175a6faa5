// One tile is one page of 16 tokens: keys lie [head_dim][16], so a tile's scores are 16 lanes;
// values lie [16][head_dim], so the weighted sum runs along the head. Masked tokens never enter a
// sum.
#include "talon/backend/cpu/attention.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "talon/backend/cpu/attention.cc"
// clang-format off
#include "talon/backend/cpu/highway_targets.h"
#include <hwy/foreach_target.h>
// clang-format on
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "talon/backend/cpu/element.h"
#include "talon/backend/cpu/lanes-inl.h"
#include "talon/backend/cpu/reference.h"

HWY_BEFORE_NAMESPACE();
namespace talon::cpu::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

void Attend(const AttentionParams& params, const AttentionTask& task) {
  if (task.kv_head == 0) reference::Attention(params, {task.row_begin, task.row_end});
}

#else

// Scratch of one task, FP32.
struct Scratch {
  std::vector<float> keys;     // [head_dim, 16] of the current page
  std::vector<float> values;   // [16, head_dim] of the current page
  std::vector<float> queries;  // [queries, head_dim]
  std::vector<float> sums;     // [queries, head_dim]
  std::vector<float> largest;  // [queries] running maximum
  std::vector<float> total;    // [queries] running sum of exponentials
};

// `count` elements (a multiple of 16) to FP32.
void Expand(const void* from, DType dtype, int64_t count, float* to) {
  if (dtype == DType::kBF16) {
    const auto* bits = static_cast<const uint16_t*>(from);
    const F32 d;
    const hn::Rebind<uint16_t, F32> d16;
    const hn::Rebind<uint32_t, F32> d32;
    for (int64_t i = 0; i < count; i += kVectorLanes) {
      const auto wide = hn::PromoteTo(d32, hn::LoadU(d16, bits + i));
      hn::StoreU(hn::BitCast(d, hn::ShiftLeft<16>(wide)), d, to + i);
    }
    return;
  }
  for (int64_t i = 0; i < count; ++i) to[i] = LoadElement(from, dtype, i);
}

// scores[n][16] = sum over i of queries[n][i] * keys[i][16], i ascending.
template <int N>
void Scores(const float* queries, const float* keys, int64_t head_dim, float* scores) {
  const F32 d;
  for (int64_t part = 0; part < kParts; ++part) {
    VF32 acc[N];
    for (auto& a : acc) a = hn::Zero(d);
    const float* k = keys + part * kVectorLanes;
    for (int64_t i = 0; i < head_dim; ++i, k += kLanes) {
      const VF32 key = hn::LoadU(d, k);
      for (int n = 0; n < N; ++n) {
        acc[n] = hn::MulAdd(hn::Set(d, queries[n * head_dim + i]), key, acc[n]);
      }
    }
    for (int n = 0; n < N; ++n) {
      hn::StoreU(acc[n], d, scores + n * kLanes + part * kVectorLanes);
    }
  }
}

void ScoresOf(int64_t count, const float* queries, const float* keys, int64_t head_dim,
              float* scores) {
  while (count >= 4) {
    Scores<4>(queries, keys, head_dim, scores);
    queries += 4 * head_dim;
    scores += 4 * kLanes;
    count -= 4;
  }
  for (; count > 0; --count, queries += head_dim, scores += kLanes) {
    Scores<1>(queries, keys, head_dim, scores);
  }
}

// Turns a tile's scores into weights exp(score - maximum), 0 outside [begin, end); returns their
// sum, added in ascending order.
float Weights(const float* scores, float factor, float maximum, int64_t begin, int64_t end,
              float* weights) {
  const F32 d;
  for (int64_t part = 0; part < kLanes; part += kVectorLanes) {
    const VF32 scaled = hn::Mul(hn::LoadU(d, scores + part), hn::Set(d, factor));
    hn::StoreU(hn::Exp(d, hn::Sub(scaled, hn::Set(d, maximum))), d, weights + part);
  }
  float sum = 0.0f;
  for (int64_t j = begin; j < end; ++j) sum += weights[j];
  return sum;
}

// sums = sums * correction + sum over j in [begin, end) of weights[j] * values[j], j ascending.
void AddValues(const float* weights, const float* values, int64_t head_dim, int64_t begin,
               int64_t end, float correction, float* sums) {
  const F32 d;
  for (int64_t i = 0; i < head_dim; i += kVectorLanes) {
    VF32 acc = hn::Mul(hn::LoadU(d, sums + i), hn::Set(d, correction));
    for (int64_t j = begin; j < end; ++j) {
      acc = hn::MulAdd(hn::Set(d, weights[j]), hn::LoadU(d, values + j * head_dim + i), acc);
    }
    hn::StoreU(acc, d, sums + i);
  }
}

// Folds one tile into query n's running softmax; tokens [begin, end) of the tile are visible to it.
void FoldTile(Scratch& scratch, int64_t n, const float* scores, float factor, int64_t head_dim,
              int64_t begin, int64_t end) {
  const auto at = static_cast<size_t>(n);
  float maximum = scratch.largest[at];
  for (int64_t j = begin; j < end; ++j) maximum = std::max(maximum, scores[j] * factor);
  const float correction =
      maximum == scratch.largest[at] ? 1.0f : std::exp(scratch.largest[at] - maximum);
  HWY_ALIGN float weights[kLanes];
  const float sum = Weights(scores, factor, maximum, begin, end, weights);
  scratch.total[at] = scratch.total[at] * correction + sum;
  scratch.largest[at] = maximum;
  AddValues(weights, scratch.values.data(), head_dim, begin, end, correction,
            scratch.sums.data() + n * head_dim);
}

void LoadQueries(const AttentionParams& params, const AttentionTask& task, int64_t group,
                 Scratch& scratch) {
  const int64_t head_dim = params.cache->head_dim;
  float* to = scratch.queries.data();
  for (int64_t row = task.row_begin; row < task.row_end; ++row) {
    for (int64_t h = 0; h < group; ++h) {
      const int64_t col = (task.kv_head * group + h) * head_dim;
      for (int64_t i = 0; i < head_dim; ++i) *to++ = Load(params.q, row, col + i);
    }
  }
}

void StoreOutputs(const AttentionParams& params, const AttentionTask& task, int64_t group,
                  const Scratch& scratch) {
  const int64_t head_dim = params.cache->head_dim;
  int64_t n = 0;
  for (int64_t row = task.row_begin; row < task.row_end; ++row) {
    for (int64_t h = 0; h < group; ++h, ++n) {
      const float factor = params.cache->v_scale / scratch.total[static_cast<size_t>(n)];
      const int64_t col = (task.kv_head * group + h) * head_dim;
      for (int64_t i = 0; i < head_dim; ++i) {
        Store(params.out, row, col + i,
              scratch.sums[static_cast<size_t>(n * head_dim + i)] * factor);
      }
    }
  }
}

void ExpandPage(const KvLayer& cache, int64_t page, int64_t kv_head, Scratch& scratch) {
  const int64_t count = cache.head_dim * kKvPageTokens;
  const int64_t offset_bytes = KvHeadOffset(cache, page, kv_head) * SizeOf(cache.dtype);
  Expand(static_cast<const std::byte*>(cache.keys.get()) + offset_bytes, cache.dtype, count,
         scratch.keys.data());
  Expand(static_cast<const std::byte*>(cache.values.get()) + offset_bytes, cache.dtype, count,
         scratch.values.data());
}

int64_t FirstVisible(const AttentionParams& params, int64_t position) {
  return params.window == 0 ? 0 : std::max<int64_t>(0, position - params.window + 1);
}

void Attend(const AttentionParams& params, const AttentionTask& task) {
  const KvLayer& cache = *params.cache;
  const int64_t head_dim = cache.head_dim;
  const int64_t group = params.num_heads / cache.num_kv_heads;
  const auto queries = static_cast<size_t>((task.row_end - task.row_begin) * group);
  thread_local Scratch scratch;
  scratch.keys.resize(static_cast<size_t>(head_dim * kKvPageTokens));
  scratch.values.resize(scratch.keys.size());
  scratch.queries.resize(queries * static_cast<size_t>(head_dim));
  scratch.sums.assign(scratch.queries.size(), 0.0f);
  scratch.largest.assign(queries, -std::numeric_limits<float>::infinity());
  scratch.total.assign(queries, 0.0f);
  LoadQueries(params, task, group, scratch);
  const float factor = params.scale * cache.k_scale;
  std::vector<float> scores(queries * kLanes);
  const int32_t* positions = params.rows.positions;
  const int64_t first = FirstVisible(params, positions[task.row_begin]) / kKvPageTokens;
  const int64_t last = positions[task.row_end - 1] / kKvPageTokens;
  for (int64_t tile = first; tile <= last; ++tile) {
    const int64_t page = PageOf(params.table, task.sequence, tile * kKvPageTokens);
    const int64_t tile_begin = tile * kKvPageTokens;
    ExpandPage(cache, page, task.kv_head, scratch);
    ScoresOf(static_cast<int64_t>(queries), scratch.queries.data(), scratch.keys.data(), head_dim,
             scores.data());
    int64_t n = 0;
    for (int64_t row = task.row_begin; row < task.row_end; ++row) {
      const int64_t begin = std::max<int64_t>(0, FirstVisible(params, positions[row]) - tile_begin);
      const int64_t end = std::min<int64_t>(kKvPageTokens, positions[row] + 1 - tile_begin);
      for (int64_t h = 0; h < group; ++h, ++n) {
        if (begin >= end) continue;
        FoldTile(scratch, n, scores.data() + n * kLanes, factor, head_dim, begin, end);
      }
    }
  }
  StoreOutputs(params, task, group, scratch);
}

#endif

}  // namespace talon::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace talon::cpu {

HWY_EXPORT(Attend);

void RunAttention(const AttentionParams& params, const AttentionTask& task) noexcept {
  HWY_DYNAMIC_DISPATCH(Attend)(params, task);
}

}  // namespace talon::cpu

#endif

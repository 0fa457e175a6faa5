// See attention.h.
#include "talon/backend/cpu/attention.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "talon/backend/cpu/attention.cc"
// clang-format off
#include "talon/backend/cpu/highway_targets.h"
#include <hwy/foreach_target.h>
// clang-format on
#include <hwy/cache_control.h>
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "talon/backend/cpu/aligned_memory.h"
#include "talon/backend/cpu/element.h"
#include "talon/backend/cpu/lanes-inl.h"
#include "talon/backend/cpu/reference.h"
#include "talon/backend/cpu/unroll.h"

HWY_BEFORE_NAMESPACE();
namespace talon::cpu::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

void Attend(const AttentionParams& params, const AttentionTask& task) {
  if (task.kv_head == 0) reference::Attention(params, {task.row_begin, task.row_end});
}

#else

constexpr size_t kTile = kKvPageTokens;
static_assert(kTile == kLanes);

// Queries whose sums fit the registers: AVX2 has 16, others 32.
constexpr size_t kQueriesAtOnce = HWY_TARGET == HWY_AVX2 ? 2 : 4;

// Head sizes are multiples of this, or go through the reference.
constexpr int64_t kHeadDimStep = 2 * kVectorLanes;

// Token slots [begin, end) of a tile.
struct Slots {
  int64_t begin = 0;
  int64_t end = 0;
  bool operator==(const Slots&) const = default;
};

// State of one task in FP32, in memory that a thread keeps. A query is one head of one row; heads
// of a row lie together.
struct State {
  float* keys = nullptr;         // [head_dim, 16] of the current page
  float* values = nullptr;       // [16, head_dim] of the current page
  float* queries = nullptr;      // [count, head_dim]
  float* sums = nullptr;         // [count, head_dim]
  float* weights = nullptr;      // [count, 16] scores, then weights of the current page
  float* largest = nullptr;      // [count] running maximum of the scores
  float* totals = nullptr;       // [count] running sum of the weights
  float* corrections = nullptr;  // [count] factor of what was summed so far
  std::vector<Slots> visible;    // [count] of the current page

  void Reset(size_t count, size_t head_dim) {
    const size_t padded = (count + kTile - 1) / kTile * kTile;
    const size_t floats = 2 * (kTile + count) * head_dim + count * kTile + 3 * padded;
    if (floats > capacity_) {
      memory_ = AllocateAligned(static_cast<int64_t>(floats * sizeof(float)));
      capacity_ = floats;
    }
    auto* at = static_cast<float*>(memory_.get());
    const auto take = [&](size_t size) { return std::exchange(at, at + size); };
    keys = take(kTile * head_dim);
    values = take(kTile * head_dim);
    queries = take(count * head_dim);
    sums = take(count * head_dim);
    weights = take(count * kTile);
    largest = take(padded);
    totals = take(padded);
    corrections = take(padded);
    std::fill_n(sums, count * head_dim, 0.0f);
    std::fill_n(largest, count, -std::numeric_limits<float>::infinity());
    std::fill_n(totals, count, 0.0f);
    visible.resize(count);
  }

 private:
  Buffer memory_;
  size_t capacity_ = 0;
};

// Elements of a page as FP32 vectors, straight from the cache or expanded before.
struct F32Source {
  const float* data;
  VF32 Load(size_t index) const { return LoadLanes(data + index); }
};
struct Bf16Source {
  const uint16_t* data;
  VF32 Load(size_t index) const { return LoadLanes(data + index); }
};
struct F8Source {
  const uint8_t* data;
  VF32 Load(size_t index) const { return LoadE4m3(data + index); }
};

template <typename Source>
void Expand(Source source, size_t count, float* to) {
  for (size_t i = 0; i < count; i += kVectorLanes) StoreLanes(source.Load(i), to + i);
}

// Scores of N queries against a tile: four sums over the dimensions i = 0, 1, 2, 3 mod 4 in
// ascending order, then (s0 + s1) + (s2 + s3).
template <size_t N, typename Source>
void Scores(const float* queries, Source keys, size_t head_dim, float* scores) {
  const F32 d;
  for (size_t part = 0; part < kTile; part += kVectorLanes) {
    VF32 sums[4 * N];
    Unroll<4 * N>([&](auto i) { sums[i] = hn::Zero(d); });
    for (size_t dim = 0; dim < head_dim; dim += 4) {
      Unroll<4>([&](auto i) {
        const VF32 key = keys.Load((dim + i) * kTile + part);
        Unroll<N>([&](auto n) {
          const VF32 query = hn::Set(d, queries[n * head_dim + dim + i]);
          sums[4 * n + i] = hn::MulAdd(query, key, sums[4 * n + i]);
        });
      });
    }
    Unroll<N>([&](auto n) {
      const VF32 even = hn::Add(sums[4 * n], sums[4 * n + 1]);
      hn::StoreU(hn::Add(even, hn::Add(sums[4 * n + 2], sums[4 * n + 3])), d,
                 scores + n * kTile + part);
    });
  }
}

// sums[n] = sums[n] * corrections[n] + weights[n][j] * values[j] for j in `slots`, ascending.
template <size_t N, typename Source>
void AddValues(const float* weights, Source values, const float* corrections, Slots slots,
               size_t head_dim, float* sums) {
  constexpr size_t kVectors = 2;
  const F32 d;
  for (size_t i = 0; i < head_dim; i += kVectors * kVectorLanes) {
    VF32 acc[N * kVectors];
    Unroll<N * kVectors>([&](auto a) {
      const float* sum = sums + a / kVectors * head_dim + i + a % kVectors * kVectorLanes;
      acc[a] = hn::Mul(hn::LoadU(d, sum), hn::Set(d, corrections[a / kVectors]));
    });
    for (int64_t j = slots.begin; j < slots.end; ++j) {
      const size_t at = static_cast<size_t>(j) * head_dim + i;
      const VF32 v[kVectors] = {values.Load(at), values.Load(at + kVectorLanes)};
      Unroll<N>([&](auto n) {
        const VF32 weight = hn::Set(d, weights[n * kTile + static_cast<size_t>(j)]);
        Unroll<kVectors>([&](auto u) {
          acc[kVectors * n + u] = hn::MulAdd(weight, v[u], acc[kVectors * n + u]);
        });
      });
    }
    Unroll<N * kVectors>([&](auto a) {
      hn::StoreU(acc[a], d, sums + a / kVectors * head_dim + i + a % kVectors * kVectorLanes);
    });
  }
}

// Lanes [begin, end) of `value`, the others replaced.
VF32 Only(VF32 value, Slots slots, int64_t first_lane, float other) {
  const F32 d;
  const VF32 lane = hn::Iota(d, static_cast<float>(first_lane));
  const auto inside = hn::And(hn::Ge(lane, hn::Set(d, static_cast<float>(slots.begin))),
                              hn::Lt(lane, hn::Set(d, static_cast<float>(slots.end))));
  return hn::IfThenElse(inside, value, hn::Set(d, other));
}

// Turns the tile's scores of query n into weights exp(factor * score - maximum), 0 where masked,
// and updates its running maximum, total and correction.
void Softmax(State& state, size_t n, float factor) {
  const F32 d;
  float* weights = state.weights + n * kTile;
  const Slots slots = state.visible[n];
  constexpr float kLowest = -std::numeric_limits<float>::infinity();
  VF32 scaled[kParts];
  VF32 most = hn::Set(d, state.largest[n]);
  for (int64_t part = 0; part < kParts; ++part) {
    const int64_t lane = part * kVectorLanes;
    scaled[part] =
        Only(hn::Mul(hn::LoadU(d, weights + lane), hn::Set(d, factor)), slots, lane, kLowest);
    most = hn::Max(most, scaled[part]);
  }
  most = hn::MaxOfLanes(d, most);
  HWY_ALIGN float lanes[kTile];
  for (int64_t part = 0; part < kParts; ++part) {
    const int64_t lane = part * kVectorLanes;
    const VF32 weight = hn::Exp(d, hn::Sub(scaled[part], most));
    hn::Store(Only(weight, slots, lane, 0.0f), d, lanes + lane);
  }
  std::copy_n(lanes, kTile, weights);
  const float maximum = hn::GetLane(most);
  float correction = 1.0f;
  if (maximum != state.largest[n]) {
    const bool first = state.largest[n] == kLowest;
    const VF32 change = hn::Sub(hn::Set(d, state.largest[n]), most);
    correction = first ? 0.0f : hn::GetLane(hn::Exp(d, change));
  }
  state.largest[n] = maximum;
  state.totals[n] = state.totals[n] * correction + LaneTree(lanes);
  state.corrections[n] = correction;
}

// Calls fn(n, count) for queries [begin, end) in runs of kQueriesAtOnce, then one by one; `count`
// is a std::integral_constant.
template <typename Fn>
void ForQueries(size_t begin, size_t end, Fn fn) {
  for (; begin + kQueriesAtOnce <= end; begin += kQueriesAtOnce) {
    fn(begin, std::integral_constant<size_t, kQueriesAtOnce>());
  }
  for (; begin < end; ++begin) fn(begin, std::integral_constant<size_t, 1>());
}

// Folds a page into every query that sees some of it.
template <typename Source>
void FoldPage(State& state, Source keys, Source values, size_t head_dim, float factor) {
  const size_t count = state.visible.size();
  ForQueries(0, count, [&](size_t n, auto at_once) {
    Scores<decltype(at_once)::value>(state.queries + n * head_dim, keys, head_dim,
                                     state.weights + n * kTile);
  });
  const auto sees_some = [&](size_t n) { return state.visible[n].begin < state.visible[n].end; };
  for (size_t n = 0; n < count; ++n) {
    if (sees_some(n)) Softmax(state, n, factor);
  }
  size_t begin = 0;
  while (begin < count) {
    // Queries that see the same tokens share the values' loads.
    size_t end = begin + 1;
    while (end < count && state.visible[end] == state.visible[begin]) ++end;
    if (sees_some(begin)) {
      ForQueries(begin, end, [&](size_t n, auto at_once) {
        AddValues<decltype(at_once)::value>(state.weights + n * kTile, values,
                                            state.corrections + n, state.visible[n], head_dim,
                                            state.sums + n * head_dim);
      });
    }
    begin = end;
  }
}

// Many queries share a page's expansion to FP32; few read it as it lies.
template <typename Source>
void FoldCachedPage(State& state, Source keys, Source values, size_t head_dim, float factor) {
  if (state.visible.size() <= kQueriesAtOnce) {
    return FoldPage(state, keys, values, head_dim, factor);
  }
  Expand(keys, head_dim * kTile, state.keys);
  Expand(values, head_dim * kTile, state.values);
  FoldPage(state, F32Source{state.keys}, F32Source{state.values}, head_dim, factor);
}

void FoldPageOf(const KvLayer& cache, int64_t page, int64_t kv_head, float factor, State& state) {
  const auto head_dim = static_cast<size_t>(cache.head_dim);
  const int64_t offset = KvHeadOffset(cache, page, kv_head);
  const auto fold = [&](auto source, auto type) {
    using Source = decltype(source);
    using T = decltype(type);
    FoldCachedPage(state, Source{static_cast<const T*>(cache.keys.get()) + offset},
                   Source{static_cast<const T*>(cache.values.get()) + offset}, head_dim, factor);
  };
  switch (cache.dtype) {
    case DType::kBF16:
      return fold(Bf16Source{}, uint16_t{});
    case DType::kF8E4M3:
      return fold(F8Source{}, uint8_t{});
    default:
      return fold(F32Source{}, float{});
  }
}

// Brings a page's keys and values of one head towards the caches.
void PrefetchPage(const KvLayer& cache, int64_t page, int64_t kv_head) {
  const int64_t element_bytes = SizeOf(cache.dtype);
  const int64_t offset = KvHeadOffset(cache, page, kv_head) * element_bytes;
  const int64_t bytes = cache.head_dim * kKvPageTokens * element_bytes;
  for (const Buffer* buffer : {&cache.keys, &cache.values}) {
    const auto* data = static_cast<const std::byte*>(buffer->get()) + offset;
    for (int64_t i = 0; i < bytes; i += 64) hwy::Prefetch(data + i);
  }
}

void LoadQueries(const AttentionParams& params, const AttentionTask& task, int64_t group,
                 State& state) {
  const int64_t columns = group * params.cache->head_dim;  // of a row: the KV head's query heads
  float* to = state.queries;
  WithType(params.q.dtype, [&](auto type) {
    for (int64_t row = task.row_begin; row < task.row_end; ++row, to += columns) {
      const auto* q = RowOf<decltype(type)>(params.q, row, task.kv_head * columns);
      for (int64_t i = 0; i < columns; i += kVectorLanes) StoreLanes(LoadLanes(q + i), to + i);
    }
  });
}

void StoreOutputs(const AttentionParams& params, const AttentionTask& task, int64_t group,
                  const State& state) {
  const int64_t head_dim = params.cache->head_dim;
  const float* sums = state.sums;
  const float* total = state.totals;
  WithType(params.out.dtype, [&](auto type) {
    for (int64_t row = task.row_begin; row < task.row_end; ++row) {
      for (int64_t h = 0; h < group; ++h, sums += head_dim, ++total) {
        const VF32 factor = hn::Set(F32(), params.cache->v_scale / *total);
        auto* out = RowOf<decltype(type)>(params.out, row, (task.kv_head * group + h) * head_dim);
        for (int64_t i = 0; i < head_dim; i += kVectorLanes) {
          StoreLanes(hn::Mul(hn::LoadU(F32(), sums + i), factor), out + i);
        }
      }
    }
  });
}

int64_t FirstVisible(const AttentionParams& params, int64_t position) {
  return params.window == 0 ? 0 : std::max<int64_t>(0, position - params.window + 1);
}

void Attend(const AttentionParams& params, const AttentionTask& task) {
  const KvLayer& cache = *params.cache;
  if (cache.head_dim % kHeadDimStep != 0) {
    if (task.kv_head == 0) reference::Attention(params, {task.row_begin, task.row_end});
    return;
  }
  const int64_t group = params.num_heads / cache.num_kv_heads;
  const int64_t count = (task.row_end - task.row_begin) * group;
  const int32_t* positions = params.rows.positions;
  thread_local State state;
  state.Reset(static_cast<size_t>(count), static_cast<size_t>(cache.head_dim));
  LoadQueries(params, task, group, state);
  const int64_t first = FirstVisible(params, positions[task.row_begin]) / kKvPageTokens;
  const int64_t last = positions[task.row_end - 1] / kKvPageTokens;
  for (int64_t tile = first; tile <= last; ++tile) {
    const int64_t tile_begin = tile * kKvPageTokens;
    if (tile < last) {
      const int64_t next = PageOf(params.table, task.sequence, tile_begin + kKvPageTokens);
      PrefetchPage(cache, next, task.kv_head);
    }
    for (int64_t n = 0; n < count; ++n) {
      const int64_t position = positions[task.row_begin + n / group];
      state.visible[static_cast<size_t>(n)] = {
          std::max<int64_t>(0, FirstVisible(params, position) - tile_begin),
          std::min<int64_t>(kKvPageTokens, position + 1 - tile_begin)};
    }
    FoldPageOf(cache, PageOf(params.table, task.sequence, tile_begin), task.kv_head,
               params.scale * cache.k_scale, state);
  }
  StoreOutputs(params, task, group, state);
}

#endif

}  // namespace talon::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace talon::cpu {

HWY_EXPORT(Attend);

std::vector<AttentionTask> AttentionTasks(const AttentionParams& params) {
  // Enough queries to pay for a page's expansion, few enough for their sums to stay in the cache.
  constexpr int64_t kQueries = 32;
  const int64_t num_kv_heads = params.cache->num_kv_heads;
  const int64_t rows = std::clamp<int64_t>(kQueries * num_kv_heads / params.num_heads, 1, 16);
  std::vector<AttentionTask> tasks;
  for (int64_t s = 0; s < params.rows.num_sequences; ++s) {
    const int64_t end = params.rows.row_begin[s + 1];
    for (int64_t row = params.rows.row_begin[s]; row < end; row += rows) {
      for (int64_t head = 0; head < num_kv_heads; ++head) {
        tasks.push_back({s, row, std::min(row + rows, end), head});
      }
    }
  }
  return tasks;
}

void RunAttention(const AttentionParams& params, const AttentionTask& task) noexcept {
  HWY_DYNAMIC_DISPATCH(Attend)(params, task);
}

}  // namespace talon::cpu

#endif

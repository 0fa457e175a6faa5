// See qkv.h.
#include "talon/backend/cpu/qkv.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "talon/backend/cpu/qkv.cc"
// clang-format off
#include "talon/backend/cpu/highway_targets.h"
#include <hwy/foreach_target.h>
// clang-format on
#include <hwy/highway.h>

#include <algorithm>

#include "talon/backend/cpu/element.h"
#include "talon/backend/cpu/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace talon::cpu::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

using reference::QkvNormRopeWrite;

#else

// head = rope(norm(head)) in place; a null gain skips the norm. rope(x) = rb(rb(x c) + rb(rot(x)
// s)).
template <typename T>
void NormAndRotate(T* head, int64_t head_dim, const float* gain, float eps,
                   const float* cos_sin /* [head_dim] */) {
  const F32 d;
  const int64_t half = head_dim / 2;
  const VF32 inverse = hn::Set(d, gain == nullptr ? 1.0f : InverseRms(head, head_dim, eps));
  const auto normed = [&](int64_t i, int64_t rest) {
    const VF32 x = LoadSome(head + i, rest);
    if (gain == nullptr) return x;
    return RoundLanes<T>(hn::Mul(hn::Mul(x, inverse), LoadSome(gain + i, rest)));
  };
  for (int64_t i = 0; i < half; i += kVectorLanes) {
    const int64_t rest = half - i;
    const VF32 low = normed(i, rest);
    const VF32 high = normed(half + i, rest);
    const VF32 c = LoadSome(cos_sin + i, rest);
    const VF32 s = LoadSome(cos_sin + half + i, rest);
    const VF32 low_part = RoundLanes<T>(hn::Mul(hn::Neg(high), s));
    const VF32 high_part = RoundLanes<T>(hn::Mul(low, s));
    StoreSome(hn::Add(RoundLanes<T>(hn::Mul(low, c)), low_part), head + i, rest);
    StoreSome(hn::Add(RoundLanes<T>(hn::Mul(high, c)), high_part), head + half + i, rest);
  }
}

// Divides by `scale`, rounds to the cache's type and writes elements `stride` apart.
void WriteStrided(const float* values, int64_t count, float scale, void* cache, DType dtype,
                  int64_t first, int64_t stride) {
  switch (dtype) {
    case DType::kF32: {
      auto* to = static_cast<float*>(cache) + first;
      for (int64_t i = 0; i < count; ++i) to[i * stride] = values[i] / scale;
      break;
    }
    case DType::kBF16: {
      auto* to = static_cast<uint16_t*>(cache) + first;
      for (int64_t i = 0; i < count; ++i) to[i * stride] = FloatToBf16(values[i] / scale);
      break;
    }
    default:
      for (int64_t i = 0; i < count; ++i) {
        StoreElement(cache, dtype, first + i * stride, values[i] / scale);
      }
  }
}

constexpr int64_t kChunk = 64;

template <typename T>
void WriteKey(const QkvParams& params, const T* head, int64_t kv_head, int64_t page, int64_t slot) {
  KvLayer& cache = *params.cache;
  HWY_ALIGN float values[kChunk];
  for (int64_t i = 0; i < cache.head_dim; i += kChunk) {
    const int64_t count = std::min(kChunk, cache.head_dim - i);
    for (int64_t j = 0; j < count; j += kVectorLanes) {
      hn::Store(LoadSome(head + i + j, count - j), F32(), values + j);
    }
    WriteStrided(values, count, cache.k_scale, cache.keys.get(), cache.dtype,
                 KeyIndex(cache, page, kv_head, slot, i), kKvPageTokens);
  }
}

template <typename T>
void WriteValue(const QkvParams& params, const T* head, int64_t kv_head, int64_t page,
                int64_t slot) {
  KvLayer& cache = *params.cache;
  const float inverse = params.v_norm ? InverseRms(head, cache.head_dim, params.eps) : 1.0f;
  HWY_ALIGN float values[kChunk];
  for (int64_t i = 0; i < cache.head_dim; i += kChunk) {
    const int64_t count = std::min(kChunk, cache.head_dim - i);
    for (int64_t j = 0; j < count; j += kVectorLanes) {
      const VF32 value = hn::Mul(LoadSome(head + i + j, count - j), hn::Set(F32(), inverse));
      hn::Store(RoundLanes<T>(value), F32(), values + j);
    }
    WriteStrided(values, count, cache.v_scale, cache.values.get(), cache.dtype,
                 ValueIndex(cache, page, kv_head, slot, i), 1);
  }
}

template <typename T>
void RunRow(const QkvParams& params, int64_t row) {
  const int64_t head_dim = params.cache->head_dim;
  const float* cos_sin = RowOf<float>(params.rope, row);
  for (int64_t h = 0; h < params.num_heads; ++h) {
    NormAndRotate(RowOf<T>(params.q, row, h * head_dim), head_dim, params.q_gain, params.eps,
                  cos_sin);
  }
  const int64_t position = params.rows.positions[row];
  const int64_t page = PageOf(params.table, SequenceOf(params.rows, row), position);
  if (page < 0) return;
  const int64_t slot = position % kKvPageTokens;
  const Tensor& v = params.v.data != nullptr ? params.v : params.k;
  for (int64_t h = 0; h < params.cache->num_kv_heads; ++h) {
    // V first: it may be the raw K projection.
    WriteValue(params, RowOf<T>(v, row, h * head_dim), h, page, slot);
    T* key = RowOf<T>(params.k, row, h * head_dim);
    NormAndRotate(key, head_dim, params.k_gain, params.eps, cos_sin);
    WriteKey(params, key, h, page, slot);
  }
}

void QkvNormRopeWrite(const QkvParams& params, reference::RowRange rows) {
  WithType(params.q.dtype, [&](auto type) {
    for (int64_t row = rows.begin; row < rows.end; ++row) RunRow<decltype(type)>(params, row);
  });
}

#endif

}  // namespace talon::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace talon::cpu {

HWY_EXPORT(QkvNormRopeWrite);

void RunQkvNormRopeWrite(const QkvParams& params, reference::RowRange rows) noexcept {
  HWY_DYNAMIC_DISPATCH(QkvNormRopeWrite)(params, rows);
}

}  // namespace talon::cpu

#endif

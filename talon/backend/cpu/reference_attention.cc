// Scalar RoPE, KV write and attention.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "talon/backend/cpu/element.h"
#include "talon/backend/cpu/reference.h"
#include "talon/backend/cpu/reference_norm.h"

namespace talon::cpu::reference {

void RopeTable(const int32_t* positions, const float* inv_freq, DType round_to, const Tensor& table,
               RowRange rows) {
  const int64_t half = table.cols / 2;
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    for (int64_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(positions[r]) * inv_freq[i];
      Store(table, r, i, Round(std::cos(angle), round_to));
      Store(table, r, half + i, Round(std::sin(angle), round_to));
    }
  }
}

namespace {

// head = rb(head / rms * gain) in place.
void NormHead(const Tensor& x, int64_t row, int64_t begin, int64_t head_dim, const float* gain,
              float eps) {
  const float inverse = InverseRms(x, row, begin, head_dim, eps);
  for (int64_t i = 0; i < head_dim; ++i) {
    const float normed = Load(x, row, begin + i) * inverse;
    Store(x, row, begin + i, gain == nullptr ? normed : normed * gain[i]);
  }
}

// rb(rb(x * c) + rb(rot(x) * s)) in place, rot(x)[i] = -x[i + half], rot(x)[i + half] = x[i].
void RotateHead(const Tensor& x, int64_t row, int64_t begin, int64_t head_dim, const float* cosines,
                const float* sines) {
  const int64_t half = head_dim / 2;
  for (int64_t i = 0; i < half; ++i) {
    const float low = Load(x, row, begin + i);
    const float high = Load(x, row, begin + half + i);
    const float c = cosines[i];
    const float s = sines[i];
    Store(x, row, begin + i, Round(low * c, x.dtype) + Round(-high * s, x.dtype));
    Store(x, row, begin + half + i, Round(high * c, x.dtype) + Round(low * s, x.dtype));
  }
}

void WriteValue(const QkvParams& params, int64_t row, int64_t kv_head, int64_t page, int64_t slot) {
  KvLayer& cache = *params.cache;
  const int64_t head_dim = cache.head_dim;
  const Tensor& source = params.v.data != nullptr ? params.v : params.k;
  const int64_t begin = kv_head * head_dim;
  const float inverse = params.v_norm ? InverseRms(source, row, begin, head_dim, params.eps) : 1.0f;
  for (int64_t i = 0; i < head_dim; ++i) {
    const float value = Round(Load(source, row, begin + i) * inverse, source.dtype);
    StoreElement(cache.values.get(), cache.dtype, ValueIndex(cache, page, kv_head, slot, i),
                 value / cache.v_scale);
  }
}

void WriteKey(const QkvParams& params, int64_t row, int64_t kv_head, int64_t page, int64_t slot) {
  KvLayer& cache = *params.cache;
  for (int64_t i = 0; i < cache.head_dim; ++i) {
    const float key = Load(params.k, row, kv_head * cache.head_dim + i);
    StoreElement(cache.keys.get(), cache.dtype, KeyIndex(cache, page, kv_head, slot, i),
                 key / cache.k_scale);
  }
}

}  // namespace

void QkvNormRopeWrite(const QkvParams& params, RowRange rows) {
  const int64_t head_dim = params.cache->head_dim;
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    const float* cosines = RowF32(params.rope, r);
    const float* sines = cosines + head_dim / 2;
    for (int64_t h = 0; h < params.num_heads; ++h) {
      if (params.q_gain != nullptr) {
        NormHead(params.q, r, h * head_dim, head_dim, params.q_gain, params.eps);
      }
      RotateHead(params.q, r, h * head_dim, head_dim, cosines, sines);
    }
    const int64_t position = params.rows.positions[r];
    const int64_t page = PageOf(params.table, SequenceOf(params.rows, r), position);
    if (page < 0) continue;
    const int64_t slot = position % kKvPageTokens;
    for (int64_t h = 0; h < params.cache->num_kv_heads; ++h) {
      WriteValue(params, r, h, page, slot);  // first: V may be the raw K projection
      if (params.k_gain != nullptr) {
        NormHead(params.k, r, h * head_dim, head_dim, params.k_gain, params.eps);
      }
      RotateHead(params.k, r, h * head_dim, head_dim, cosines, sines);
      WriteKey(params, r, h, page, slot);
    }
  }
}

namespace {

struct Visible {
  int64_t begin = 0;
  int64_t end = 0;
};

Visible VisibleKeys(int64_t position, int64_t window) {
  return {window == 0 ? 0 : std::max<int64_t>(0, position - window + 1), position + 1};
}

void AttendHead(const AttentionParams& params, int64_t row, int64_t head) {
  const KvLayer& cache = *params.cache;
  const int64_t kv_head = head / (params.num_heads / cache.num_kv_heads);
  const int64_t sequence = SequenceOf(params.rows, row);
  const Visible keys = VisibleKeys(params.rows.positions[row], params.window);
  std::vector<double> weights;  // [visible keys]
  double largest = -std::numeric_limits<double>::infinity();
  for (int64_t j = keys.begin; j < keys.end; ++j) {
    const int64_t page = PageOf(params.table, sequence, j);
    double score = 0.0;
    for (int64_t i = 0; i < cache.head_dim; ++i) {
      const float key = LoadElement(cache.keys.get(), cache.dtype,
                                    KeyIndex(cache, page, kv_head, j % kKvPageTokens, i));
      score += static_cast<double>(Load(params.q, row, head * cache.head_dim + i)) * key;
    }
    weights.push_back(score * params.scale * cache.k_scale);
    largest = std::max(largest, weights.back());
  }
  double total = 0.0;
  for (double& weight : weights) total += weight = std::exp(weight - largest);
  for (int64_t i = 0; i < cache.head_dim; ++i) {
    double sum = 0.0;
    for (int64_t j = keys.begin; j < keys.end; ++j) {
      const int64_t page = PageOf(params.table, sequence, j);
      sum += weights[static_cast<size_t>(j - keys.begin)] *
             LoadElement(cache.values.get(), cache.dtype,
                         ValueIndex(cache, page, kv_head, j % kKvPageTokens, i));
    }
    Store(params.out, row, head * cache.head_dim + i,
          static_cast<float>(sum / total * cache.v_scale));
  }
}

}  // namespace

void Attention(const AttentionParams& params, RowRange rows) {
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    for (int64_t h = 0; h < params.num_heads; ++h) AttendHead(params, r, h);
  }
}

}  // namespace talon::cpu::reference

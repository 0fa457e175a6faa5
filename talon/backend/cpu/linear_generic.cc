// Linear kernels for FP32 products on any vector unit: 16 lanes, lane l taking 16 j + l in
// ascending j by fused multiply-add.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "talon/backend/cpu/linear_generic.cc"
// clang-format off
#include "talon/backend/cpu/highway_targets.h"
#include <hwy/foreach_target.h>
// clang-format on
#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "talon/backend/cpu/aligned_memory.h"
#include "talon/backend/cpu/element.h"
#include "talon/backend/cpu/k_order.h"
#include "talon/backend/cpu/lanes-inl.h"
#include "talon/backend/cpu/leaf_stack.h"
#include "talon/backend/cpu/linear.h"
#include "talon/backend/cpu/reference.h"
#include "talon/backend/cpu/unroll.h"
#include "talon/numeric/e2m1.h"

HWY_BEFORE_NAMESPACE();
namespace talon::cpu::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

void RunLinear(const LinearJob& job) { RunLinearScalar(job); }

#else

// Sums of 4 weight rows x up to 4 input rows; [row][feature].
struct Sums {
  HWY_ALIGN float values[4 * kJobFeatures];
};

Sums operator+(const Sums& a, const Sums& b) {
  const F32 d;
  Sums sum;
  for (int64_t i = 0; i < kLanes; i += kVectorLanes) {
    hn::Store(hn::Add(hn::Load(d, a.values + i), hn::Load(d, b.values + i)), d, sum.values + i);
  }
  return sum;
}

// One leaf of 4 weight rows as FP32, zero beyond K; rows `stride` apart.
struct WeightRows {
  const float* base;
  int64_t stride;
};

// Input rows that are multiplied at once: AVX2 has 16 registers for the sums, others 32.
constexpr size_t kRowsAtOnce = HWY_TARGET == HWY_AVX2 ? 2 : 4;

// Sums over a leaf of 4 weight rows x N of the tile's input rows, from `inputs` on.
template <size_t N>
void LeafSums(const WeightRows& weights, const float* inputs, int64_t tile_rows, int64_t steps,
              float* sums /* [N][4], padded to a vector */) {
  const F32 d;
  VF32 acc[kParts][4 * N];
  Unroll<kParts>([&](auto part) {
    Unroll<4 * N>([&](auto i) { acc[part][i] = hn::Zero(d); });
    const float* w = weights.base + part * kVectorLanes;
    const float* x = inputs + part * kVectorLanes;
    for (int64_t j = 0; j < steps; ++j, w += kLanes, x += tile_rows * kLanes) {
      VF32 wv[4];
      Unroll<4>([&](auto m) { wv[m] = hn::Load(d, w + m * weights.stride); });
      Unroll<N>([&](auto n) {
        const VF32 xv = hn::Load(d, x + n * kLanes);
        Unroll<4>(
            [&](auto m) { acc[part][4 * n + m] = hn::MulAdd(wv[m], xv, acc[part][4 * n + m]); });
      });
    }
  });
  constexpr size_t kVectors = (4 * N + kVectorLanes - 1) / kVectorLanes;
  Unroll<kVectors>([&](auto v) {
    const VF32 vector =
        LaneSums([&](auto part, auto l) { return acc[part][(v * kVectorLanes + l) % (4 * N)]; });
    hn::Store(vector, d, sums + v * kVectorLanes);
  });
}

Sums TileSums(const WeightRows& weights, const float* inputs, int64_t tile_rows, int64_t steps) {
  Sums sums;
  if (tile_rows == 1) {
    LeafSums<1>(weights, inputs, tile_rows, steps, sums.values);
  } else if (tile_rows == 2) {
    LeafSums<2>(weights, inputs, tile_rows, steps, sums.values);
  } else {
    for (size_t n = 0; n < 4; n += kRowsAtOnce) {
      LeafSums<kRowsAtOnce>(weights, inputs + n * kLanes, tile_rows, steps, sums.values + 4 * n);
    }
  }
  return sums;
}

// 8 bytes of E2M1 pairs under one block scale. The magnitude's three bits are its exponent and the
// top of its mantissa; below 1 it is subnormal.
void DecodeNvfp4Block(const uint8_t* codes, float scale, float* out /* [16] */) {
  const F32 d;
  const hn::RebindToSigned<F32> di;
  const hn::Rebind<uint8_t, F32> d8;
  const hn::Full64<uint8_t> half;
  const auto pairs = hn::LoadU(half, codes);
  HWY_ALIGN uint8_t nibbles[16];
  const hn::Full128<uint8_t> full;
  const auto low = hn::ZeroExtendVector(full, hn::And(pairs, hn::Set(half, 0xF)));
  const auto high = hn::ZeroExtendVector(full, hn::ShiftRight<4>(pairs));
  hn::Store(hn::InterleaveLower(full, low, high), full, nibbles);
  for (int64_t i = 0; i < 16; i += kVectorLanes) {
    const auto code = hn::PromoteTo(di, hn::Load(d8, nibbles + i));
    const auto magnitude = hn::And(code, hn::Set(di, 7));
    const auto normal = hn::Add(hn::ShiftLeft<22>(magnitude), hn::Set(di, 126 << 23));
    const auto small = hn::Mul(hn::ConvertTo(d, magnitude), hn::Set(d, 0.5f));
    const auto value = hn::IfThenElse(hn::RebindMask(d, hn::Lt(magnitude, hn::Set(di, 2))), small,
                                      hn::BitCast(d, normal));
    const auto sign = hn::BitCast(d, hn::ShiftLeft<28>(hn::And(code, hn::Set(di, 8))));
    hn::StoreU(hn::Mul(hn::Or(value, sign), hn::Set(d, scale)), d, out + i);
  }
}

// Columns [begin, end) of a weight row as FP32; `end` - `begin` is a multiple of 16 except at K.
void DecodeRow(const LinearWeight& weight, int64_t out_feature, int64_t begin, int64_t end,
               float* out) {
  const int64_t first = out_feature * weight.in_features + begin;
  const int64_t count = end - begin;
  const auto* bytes = static_cast<const uint8_t*>(weight.data);
  int64_t i = 0;
  switch (weight.format) {
    case LinearFormat::kBF16: {
      const auto* values = reinterpret_cast<const uint16_t*>(bytes) + first;
      for (; i + kVectorLanes <= count; i += kVectorLanes) {
        StoreLanes(LoadLanes(values + i), out + i);
      }
      break;
    }
    case LinearFormat::kF8:
      for (; i + kVectorLanes <= count; i += kVectorLanes) {
        StoreLanes(LoadE4m3(bytes + first + i), out + i);
      }
      break;
    case LinearFormat::kNvfp4:
      for (; i < count; i += 16) {
        const int64_t block = (first + i) / 16;
        DecodeNvfp4Block(bytes + block * 8, DecodeE4m3(weight.block_scales[block]), out + i);
      }
      break;
  }
  for (; i < count; ++i) out[i] = reference::WeightElement(weight, out_feature, begin + i);
}

// Leaf rows that this thread keeps; zeroed so that padding stays zero.
float* LeafMemory(int64_t floats) {
  thread_local Buffer memory;
  thread_local int64_t capacity = 0;
  if (floats > capacity) {
    memory = AllocateAligned(floats * 4);
    capacity = floats;
  }
  std::fill_n(static_cast<float*>(memory.get()), floats, 0.0f);
  return static_cast<float*>(memory.get());
}

// Multiplies the totals by the features' factors, rounds and stores them.
void StoreTile(const LinearJob& job, int64_t first_feature, int64_t first_row,
               const float* factors /* [16], repeating 4 */, const Sums& totals) {
  const F32 d;
  const int64_t features = std::min(kJobFeatures, job.out_end - first_feature);
  const int64_t rows = std::min(job.inputs->tile_rows(), job.out.rows - first_row);
  WithType(job.out.dtype, [&](auto type) {
    using T = decltype(type);
    HWY_ALIGN T values[kLanes];  // [row][feature]
    for (int64_t i = 0; i < kLanes; i += kVectorLanes) {
      const VF32 scaled = hn::Mul(hn::Load(d, totals.values + i), hn::Load(d, factors + i));
      StoreLanes(scaled, values + i);
    }
    for (int64_t n = 0; n < rows; ++n) {
      std::copy_n(values + 4 * n, features, RowOf<T>(job.out, first_row + n, first_feature));
    }
  });
}

// Leaves decoded at once: enough to be worth a call, few enough for the first-level cache.
int64_t LeavesPerChunk(int64_t num_leaves, int64_t leaf_length) {
  constexpr int64_t kChunkColumns = 512;
  int64_t leaves = 1;
  while (leaves < num_leaves && 2 * leaves * leaf_length <= kChunkColumns) leaves *= 2;
  return leaves;
}

// 4 output features for every tile of the job.
void RunGroup(const LinearJob& job, int64_t first_feature, float* memory /* [4][chunk] */) {
  const LinearWeight& weight = *job.weight;
  const int64_t num_leaves = LeafCount(weight.in_features);
  const int64_t leaf_length = weight.in_features / num_leaves;
  const int64_t leaf_steps = (leaf_length + kLanes - 1) / kLanes;
  const int64_t chunk_leaves = LeavesPerChunk(num_leaves, leaf_length);
  const int64_t stride = chunk_leaves * leaf_steps * kLanes;
  const int64_t tile_rows = job.inputs->tile_rows();
  std::array<LeafStack<Sums>, kMaxJobTiles> stacks;
  for (int64_t chunk = 0; chunk < num_leaves; chunk += chunk_leaves) {
    for (int64_t m = 0; m < kJobFeatures; ++m) {
      DecodeRow(weight, std::min(first_feature + m, job.out_end - 1), chunk * leaf_length,
                (chunk + chunk_leaves) * leaf_length, memory + m * stride);
    }
    for (int64_t tile = job.tile_begin; tile < job.tile_end; ++tile) {
      const float* inputs = job.inputs->f32() + tile * job.inputs->tile_stride();
      for (int64_t leaf = chunk; leaf < chunk + chunk_leaves; ++leaf) {
        const WeightRows rows{memory + (leaf - chunk) * leaf_steps * kLanes, stride};
        stacks[static_cast<size_t>(tile - job.tile_begin)].Push(
            leaf,
            TileSums(rows, inputs + leaf * leaf_steps * tile_rows * kLanes, tile_rows, leaf_steps));
      }
    }
  }
  HWY_ALIGN float factors[kLanes];
  for (int64_t i = 0; i < kLanes; ++i) {
    const int64_t feature = std::min(first_feature + i % kJobFeatures, job.out_end - 1);
    factors[i] = reference::OutputFactor(weight, feature);
  }
  for (int64_t tile = job.tile_begin; tile < job.tile_end; ++tile) {
    StoreTile(job, first_feature, tile * tile_rows, factors,
              stacks[static_cast<size_t>(tile - job.tile_begin)].Total(num_leaves));
  }
}

// Memory for the decoded rows that this thread keeps; zeroed, so that padding beyond K stays zero.
float* RowMemory(int64_t floats) {
  thread_local Buffer memory;
  thread_local int64_t capacity = 0;
  if (floats > capacity) {
    memory = AllocateAligned(floats * 4);
    capacity = floats;
  }
  std::fill_n(static_cast<float*>(memory.get()), floats, 0.0f);
  return static_cast<float*>(memory.get());
}

void RunLinear(const LinearJob& job) {
  const int64_t k = job.weight->in_features;
  const int64_t leaf_length = k / LeafCount(k);
  const int64_t chunk_leaves = LeavesPerChunk(LeafCount(k), leaf_length);
  const int64_t padded = (leaf_length + kLanes - 1) / kLanes * kLanes;
  float* memory = RowMemory(kJobFeatures * chunk_leaves * padded);
  for (int64_t o = job.out_begin; o < job.out_end; o += kJobFeatures) RunGroup(job, o, memory);
}

#endif

}  // namespace talon::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace talon::cpu {

HWY_EXPORT(RunLinear);

void RunLinearGeneric(const LinearJob& job) noexcept { HWY_DYNAMIC_DISPATCH(RunLinear)(job); }

}  // namespace talon::cpu

#endif

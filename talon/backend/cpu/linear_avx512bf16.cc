// Linear kernels for AVX-512 BF16: products by VDPBF16PS, lane l taking the pairs 32 j + 2 l and
// 32 j + 2 l + 1 in ascending j.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "talon/backend/cpu/aligned_memory.h"
#include "talon/backend/cpu/element.h"
#include "talon/backend/cpu/k_order.h"
#include "talon/backend/cpu/leaf_stack.h"
#include "talon/backend/cpu/linear.h"
#include "talon/backend/cpu/reference.h"
#include "talon/backend/cpu/unroll.h"

#if defined(__AVX512BF16__) && defined(__AVX512VBMI__)

#include <immintrin.h>

#include "talon/backend/cpu/lanes_avx512.h"
#include "talon/backend/cpu/weight_rows_avx512.h"

namespace talon::cpu {
namespace {

using avx512::Bf16Rows;
using avx512::F8Rows;
using avx512::Features;
using avx512::Nvfp4Rows;

constexpr int64_t kStep = 32;

// Sums of 4 weight rows x N input rows: row m, input 4 q + n in lane 4 n + m of quad q.
template <int N>
struct TileSums {
  static constexpr int kQuads = (N + 3) / 4;
  __m512 quads[kQuads];
};

template <int N>
TileSums<N> operator+(const TileSums<N>& a, const TileSums<N>& b) {
  TileSums<N> sum;
  for (int q = 0; q < TileSums<N>::kQuads; ++q) {
    sum.quads[q] = _mm512_add_ps(a.quads[q], b.quads[q]);
  }
  return sum;
}

// The lanes of weight rows [first, first + M) x N input rows over a leaf.
template <size_t M, size_t N, bool kPrefetch, typename Rows>
[[gnu::always_inline]] inline void AddSteps(const Rows& rows, size_t first,
                                            const uint16_t* inputs /* [steps][N][32] */,
                                            int64_t steps, __m512* lanes /* [M][N] */) {
  Unroll<M * N>([&](auto i) { lanes[i] = _mm512_setzero_ps(); });
  for (int64_t j = 0; j < steps; ++j) {
    __m512bh w[M];
    Unroll<M>([&](auto m) { w[m] = (__m512bh)rows.Load(first + m, j); });
    if (kPrefetch && j % Rows::kStepsPerLine == 0) {
      Unroll<M>([&](auto m) { rows.Prefetch(first + m, j); });
    }
    Unroll<N>([&](auto n) {
      const auto x = (__m512bh)_mm512_load_si512(inputs + kStep * (N * j + n));
      Unroll<M>([&](auto m) { lanes[N * m + n] = _mm512_dpbf16_ps(lanes[N * m + n], w[m], x); });
    });
  }
}

// The same sums with the lower and upper 8 lanes in registers of their own.
template <size_t M, size_t N, bool kPrefetch, typename Rows>
[[gnu::always_inline]] inline void AddHalfSteps(const Rows& rows, const uint16_t* inputs,
                                                int64_t steps, __m512* lanes /* [M][N] */) {
  __m256 halves[2][M * N];
  Unroll<M * N>([&](auto i) { halves[0][i] = halves[1][i] = _mm256_setzero_ps(); });
  for (int64_t j = 0; j < steps; ++j) {
    if (kPrefetch && j % Rows::kStepsPerLine == 0) {
      Unroll<M>([&](auto m) { rows.Prefetch(m, j); });
    }
    Unroll<2>([&](auto h) {
      Unroll<M>([&](auto m) {
        const auto w = (__m256bh)rows.LoadHalf(m, 2 * j + h);
        Unroll<N>([&](auto n) {
          const auto* x = reinterpret_cast<const __m256i*>(inputs + kStep * (N * j + n)) + h;
          __m256& sum = halves[h][N * m + n];
          sum = _mm256_dpbf16_ps(sum, w, (__m256bh)_mm256_load_si256(x));
        });
      });
    });
  }
  Unroll<M * N>([&](auto i) {
    lanes[i] = _mm512_insertf32x8(_mm512_castps256_ps512(halves[0][i]), halves[1][i], 1);
  });
}

// Quarter sums of M weight rows x N input rows over a leaf.
template <size_t M, size_t N, bool kPrefetch, typename Rows>
[[gnu::always_inline]] inline void LeafQuarters(Rows rows, size_t first_row, const uint16_t* inputs,
                                                int64_t steps,
                                                __m512 (*quarters)[4] /* [quads][4] */) {
  __m512 lanes[M * N];
  if constexpr (Rows::kHalves && N <= 2) {
    AddHalfSteps<M, N, kPrefetch>(rows, inputs, steps, lanes);
  } else {
    AddSteps<M, N, kPrefetch>(rows, first_row, inputs, steps, lanes);
  }
  Unroll<M>([&](auto m) {
    Unroll<N / 4>([&](auto q) {
      quarters[q][first_row + m] = avx512::QuarterSums<4>(lanes + N * m + 4 * q);
    });
    if constexpr (N % 4 != 0) {
      quarters[N / 4][first_row + m] = avx512::QuarterSums<N % 4>(lanes + N * m + N / 4 * 4);
    }
  });
}

template <int N, bool kPrefetch, typename Rows>
TileSums<N> LeafSums(const Rows& rows, const uint16_t* inputs, int64_t steps) {
  __m512 quarters[TileSums<N>::kQuads][4];
  if constexpr (N <= 4) {
    LeafQuarters<4, N, kPrefetch>(rows, 0, inputs, steps, quarters);
  } else {
    // Two rows at a time, so that all sums stay in registers.
    LeafQuarters<2, N, kPrefetch>(rows, 0, inputs, steps, quarters);
    LeafQuarters<2, N, kPrefetch>(rows, 2, inputs, steps, quarters);
  }
  TileSums<N> tile;
  for (int q = 0; q < TileSums<N>::kQuads; ++q) {
    const __m512* set = quarters[q];
    tile.quads[q] = avx512::FinishSums(set[0], set[1], set[2], set[3]);
  }
  return tile;
}

// The factors of 4 output features, for lanes 4 n + m.
__m512 GroupFactors(const LinearJob& job, int64_t first_feature) {
  float factors[kJobFeatures];
  for (int64_t m = 0; m < kJobFeatures; ++m) {
    factors[m] = reference::OutputFactor(*job.weight, std::min(first_feature + m, job.out_end - 1));
  }
  return _mm512_broadcast_f32x4(_mm_loadu_ps(factors));
}

// Copies 4 values a row, fewer where the job ends.
template <typename T>
void StoreRows(const LinearJob& job, int64_t first_feature, int64_t first_row, int64_t rows,
               const T* values /* [rows][4] */) {
  const int64_t features = std::min(kJobFeatures, job.out_end - first_feature);
  T* out = static_cast<T*>(job.out.data) + first_row * job.out.row_stride + first_feature;
  for (int64_t n = 0; n < rows; ++n, out += job.out.row_stride, values += kJobFeatures) {
    if (features == kJobFeatures) {
      std::memcpy(out, values, kJobFeatures * sizeof(T));
    } else {
      std::copy_n(values, features, out);
    }
  }
}

// Multiplies the totals by the factors, rounds and stores them.
template <int N>
void StoreTile(const LinearJob& job, int64_t first_feature, int64_t tile, __m512 factors,
               const TileSums<N>& totals) {
  for (int64_t q = 0; q < TileSums<N>::kQuads; ++q) {
    const int64_t row = tile * N + 4 * q;
    const int64_t rows = std::min({int64_t{4}, N - 4 * q, job.out.rows - row});
    const __m512 values = _mm512_mul_ps(totals.quads[q], factors);
    if (job.out.dtype == DType::kBF16) {
      alignas(32) uint16_t bf16[16];
      _mm256_store_si256(reinterpret_cast<__m256i*>(bf16), avx512::RoundToBf16(values));
      StoreRows(job, first_feature, row, rows, bf16);
    } else {
      alignas(64) float f32[16];
      _mm512_store_ps(f32, values);
      StoreRows(job, first_feature, row, rows, f32);
    }
  }
}

// K in leaves of steps.
struct Leaves {
  explicit Leaves(int64_t k) : count(LeafCount(k)), steps((k / count + kStep - 1) / kStep) {}
  int64_t count;
  int64_t steps;
};

// The features of a group, the last one again where the job ends.
Features GroupFeatures(const LinearJob& job, int64_t first_feature) {
  Features features;
  for (size_t m = 0; m < features.size(); ++m) {
    features[m] = std::min(first_feature + static_cast<int64_t>(m), job.out_end - 1);
  }
  return features;
}

const uint16_t* TileInputs(const LinearJob& job, int64_t tile, int64_t step) {
  return job.inputs->bf16() + tile * job.inputs->tile_stride() +
         step * job.inputs->tile_rows() * kStep;
}

// One tile: the weights go from memory through the decoder to the products.
template <typename Rows, int N>
void StreamGroup(const LinearJob& job, const Leaves& leaves, int64_t first_feature) {
  const Features features = GroupFeatures(job, first_feature);
  const bool more = first_feature + kJobFeatures < job.out_end;
  LeafStack<TileSums<N>> stack;
  for (int64_t leaf = 0; leaf < leaves.count; ++leaf) {
    const int64_t begin = leaf * leaves.steps;
    const Rows rows(*job.weight, features, begin, more ? kJobFeatures : 0);
    stack.Push(leaf, LeafSums<N, true>(rows, TileInputs(job, job.tile_begin, begin), leaves.steps));
  }
  StoreTile<N>(job, first_feature, job.tile_begin, GroupFactors(job, first_feature),
               stack.Total(leaves.count));
}

// Memory that a thread keeps for its jobs.
template <typename T>
T* ThreadMemory(int64_t count) {
  thread_local Buffer memory;
  thread_local int64_t capacity = 0;
  if (count > capacity) {
    memory = AllocateAligned(count * static_cast<int64_t>(sizeof(T)));
    capacity = count;
  }
  return static_cast<T*>(memory.get());
}

// The last, partial step of a row; columns beyond K become zero.
void DecodeTail(const LinearWeight& weight, int64_t feature, uint16_t* out /* [32] */) {
  std::fill_n(out, kStep, uint16_t{0});
  for (int64_t i = weight.in_features / kStep * kStep; i < weight.in_features; ++i) {
    out[i % kStep] = FloatToBf16(reference::WeightElement(weight, feature, i));
  }
}

// Decodes steps [begin, begin + steps) of four weight rows.
template <typename Rows>
Bf16Rows DecodeLeaf(const LinearWeight& weight, const Features& features, int64_t begin,
                    int64_t steps, uint16_t* out /* [4][steps * 32] */) {
  const int64_t whole_steps = std::min(begin + steps, weight.in_features / kStep) - begin;
  const Rows rows(weight, features, begin, 0);
  for (size_t m = 0; m < features.size(); ++m) {
    uint16_t* row = out + static_cast<int64_t>(m) * steps * kStep;
    for (int64_t j = 0; j < whole_steps; ++j) _mm512_store_si512(row + kStep * j, rows.Load(m, j));
    if (whole_steps < steps) DecodeTail(weight, features[m], row + kStep * whole_steps);
  }
  return {out, steps * kStep};
}

// A leaf of a block of features: up to kBlockGroups groups that meet each tile of inputs together.
struct BlockLeaf {
  int64_t first_feature = 0;
  int64_t leaf = 0;
};

constexpr int64_t kBlockGroups = 4;
constexpr int64_t kBlockFeatures = kBlockGroups * kJobFeatures;

// Fetches the rows of the next leaf, spread evenly over the work on this one.
template <typename Rows>
class NextLeafPrefetch {
 public:
  NextLeafPrefetch(const LinearJob& job, const Leaves& leaves, BlockLeaf next, int64_t work)
      : job_(job), leaves_(leaves), next_(next), work_(work) {
    if (next.first_feature < job.out_end) {
      rows_ = std::min(kBlockFeatures, job.out_end - next.first_feature);
    }
  }

  // Called `work` times.
  void Step() {
    for (due_ += rows_; due_ >= work_; due_ -= work_) Fetch(row_++);
  }

 private:
  void Fetch(int64_t row) const {
    Features feature;
    feature.fill(next_.first_feature + row);
    const Rows rows(*job_.weight, feature, next_.leaf * leaves_.steps, 0);
    for (int64_t j = 0; j < leaves_.steps; j += Rows::kStepsPerLine) rows.Prefetch(0, j);
    // GCC 12 takes a function that only prefetches for a pure one and drops its calls.
    asm volatile("");
  }

  const LinearJob& job_;
  const Leaves& leaves_;
  BlockLeaf next_;
  int64_t work_;
  int64_t rows_ = 0;
  int64_t row_ = 0;
  int64_t due_ = 0;
};

// The four rows of every group of a block, read in place or decoded into `decoded`.
template <typename Rows>
std::array<Bf16Rows, kBlockGroups> BlockRows(const LinearJob& job, const Leaves& leaves,
                                             BlockLeaf block, int64_t groups, bool in_place,
                                             uint16_t* decoded) {
  const int64_t begin = block.leaf * leaves.steps;
  std::array<Bf16Rows, kBlockGroups> rows;
  for (int64_t g = 0; g < groups; ++g) {
    const Features features = GroupFeatures(job, block.first_feature + g * kJobFeatures);
    uint16_t* out = decoded + g * kJobFeatures * leaves.steps * kStep;
    rows[static_cast<size_t>(g)] =
        in_place ? Bf16Rows(*job.weight, features, begin, 0)
                 : DecodeLeaf<Rows>(*job.weight, features, begin, leaves.steps, out);
  }
  return rows;
}

// Several tiles: a leaf of a block of features is decoded once, into the caches, and meets every
// tile there; a tile's inputs are read once for the whole block.
template <typename Rows, int N>
void RunBlock(const LinearJob& job, const Leaves& leaves, int64_t first_feature) {
  using Stack = LeafStack<TileSums<N>>;
  const bool in_place = std::is_same_v<Rows, Bf16Rows> && job.weight->in_features % kStep == 0;
  const int64_t tiles = job.tile_end - job.tile_begin;
  const int64_t features = std::min(kBlockFeatures, job.out_end - first_feature);
  const int64_t groups = (features + kJobFeatures - 1) / kJobFeatures;
  auto* decoded = ThreadMemory<uint16_t>(in_place ? 0 : kBlockFeatures * leaves.steps * kStep);
  auto* stacks = ThreadMemory<Stack>(tiles * groups);  // [tiles][groups]
  for (int64_t leaf = 0; leaf < leaves.count; ++leaf) {
    const auto rows =
        BlockRows<Rows>(job, leaves, {first_feature, leaf}, groups, in_place, decoded);
    const BlockLeaf next = leaf + 1 < leaves.count ? BlockLeaf{first_feature, leaf + 1}
                                                   : BlockLeaf{first_feature + kBlockFeatures, 0};
    NextLeafPrefetch<Rows> prefetch(job, leaves, next, tiles * groups);
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const uint16_t* inputs = TileInputs(job, job.tile_begin + tile, leaf * leaves.steps);
      for (int64_t g = 0; g < groups; ++g) {
        prefetch.Step();
        stacks[tile * groups + g].Push(
            leaf, LeafSums<N, false>(rows[static_cast<size_t>(g)], inputs, leaves.steps));
      }
    }
  }
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t feature = first_feature + g * kJobFeatures;
    const __m512 factors = GroupFactors(job, feature);
    for (int64_t tile = 0; tile < tiles; ++tile) {
      StoreTile<N>(job, feature, job.tile_begin + tile, factors,
                   stacks[tile * groups + g].Total(leaves.count));
    }
  }
}

template <typename Rows, int N>
void RunShape(const LinearJob& job) {
  const Leaves leaves(job.weight->in_features);
  if (job.tile_end - job.tile_begin > 1 || job.weight->in_features % kStep != 0) {
    for (int64_t o = job.out_begin; o < job.out_end; o += kBlockFeatures) {
      RunBlock<Rows, N>(job, leaves, o);
    }
    return;
  }
  for (int64_t o = job.out_begin; o < job.out_end; o += kJobFeatures) {
    StreamGroup<Rows, N>(job, leaves, o);
  }
}

template <typename Rows>
void RunJob(const LinearJob& job) {
  switch (job.inputs->tile_rows()) {
    case 1:
      return RunShape<Rows, 1>(job);
    case 2:
      return RunShape<Rows, 2>(job);
    case 4:
      return RunShape<Rows, 4>(job);
    case 6:
      return RunShape<Rows, 6>(job);
    default:
      return RunShape<Rows, 8>(job);
  }
}

}  // namespace

void RunLinearAvx512Bf16(const LinearJob& job) noexcept {
  switch (job.weight->format) {
    case LinearFormat::kBF16:
      return RunJob<Bf16Rows>(job);
    case LinearFormat::kF8:
      return RunJob<F8Rows>(job);
    case LinearFormat::kNvfp4:
      return RunJob<Nvfp4Rows>(job);
  }
}

}  // namespace talon::cpu

#else

#include <cstdlib>

namespace talon::cpu {

// Never reached: DetectIsa offers these kernels only where they are compiled in.
void RunLinearAvx512Bf16(const LinearJob&) noexcept { std::abort(); }

}  // namespace talon::cpu

#endif

// Linear kernels for AVX-512 BF16: products by VDPBF16PS, lane l taking the pairs 32 j + 2 l and
// 32 j + 2 l + 1 in ascending j.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "talon/backend/cpu/aligned_memory.h"
#include "talon/backend/cpu/element.h"
#include "talon/backend/cpu/k_order.h"
#include "talon/backend/cpu/leaf_stack.h"
#include "talon/backend/cpu/linear.h"
#include "talon/backend/cpu/reference.h"

#if defined(__AVX512BF16__) && defined(__AVX512VBMI__)

#include <immintrin.h>

#include "talon/backend/cpu/decode_avx512.h"
#include "talon/backend/cpu/lanes_avx512.h"

namespace talon::cpu {
namespace {

constexpr int64_t kStep = 32;

// Four weight rows as BF16, from the first step of a leaf on.
using WeightRows = std::array<const uint8_t*, kJobFeatures>;

// Sums of 4 weight rows x N input rows over a leaf; row m, input n in lane 4 m + n.
template <int N>
__m512 LeafSums(const WeightRows& weights, const uint16_t* inputs /* [steps][N][32] */,
                int64_t steps) {
  __m512 sums[4 * N];
  for (__m512& sum : sums) sum = _mm512_setzero_ps();
  for (int64_t j = 0; j < steps; ++j) {
    __m512bh w[4];
    for (size_t m = 0; m < 4; ++m) w[m] = (__m512bh)_mm512_loadu_si512(weights[m] + 64 * j);
    for (int n = 0; n < N; ++n) {
      const auto x = (__m512bh)_mm512_load_si512(inputs + kStep * (N * j + n));
      for (int m = 0; m < 4; ++m) sums[4 * n + m] = _mm512_dpbf16_ps(sums[4 * n + m], w[m], x);
    }
  }
  return avx512::LaneSums<N>(sums);
}

// Four rows of one leaf, decoded to BF16 in memory that this thread keeps.
class LeafBuffer {
 public:
  explicit LeafBuffer(int64_t leaf_steps) : row_bytes_(leaf_steps * 64) {
    thread_local Buffer memory;
    thread_local int64_t capacity_bytes = 0;
    const int64_t size_bytes = kJobFeatures * row_bytes_;
    if (size_bytes > capacity_bytes) {
      memory = AllocateAligned(size_bytes);
      capacity_bytes = size_bytes;
    }
    base_ = static_cast<uint8_t*>(memory.get());
  }
  uint8_t* row(size_t m) const { return base_ + static_cast<int64_t>(m) * row_bytes_; }

 private:
  int64_t row_bytes_;
  uint8_t* base_;
};

// Decodes steps [begin, end) of a weight row to BF16; columns beyond K become zero.
template <typename Decoder>
void DecodeRow(const Decoder& decoder, const LinearWeight& weight, int64_t out_feature,
               int64_t begin, int64_t end, uint8_t* out /* [(end - begin) * 64] */) {
  const int64_t k = weight.in_features;
  const int64_t whole_end = std::min(end, k / kStep);
  for (int64_t step = begin; step < whole_end; ++step, out += 64) {
    _mm512_store_si512(out, decoder.Decode32(weight, out_feature * k + step * kStep));
  }
  if (whole_end == end) return;
  alignas(64) uint16_t tail[kStep] = {};
  for (int64_t i = whole_end * kStep; i < k; ++i) {
    tail[i % kStep] = FloatToBf16(reference::WeightElement(weight, out_feature, i));
  }
  std::memcpy(out, tail, sizeof(tail));
}

// Rounds and stores the totals (lane 4 m + n) of 4 output features for N rows.
template <int N>
void StoreTile(const LinearJob& job, int64_t first_feature, int64_t first_row, __m512 totals) {
  const int64_t features = std::min(kJobFeatures, job.out_end - first_feature);
  const int64_t rows = std::min<int64_t>(N, job.out.rows - first_row);
  float factors[kJobFeatures];
  for (int64_t m = 0; m < kJobFeatures; ++m) {
    factors[m] = reference::OutputFactor(*job.weight, first_feature + std::min(m, features - 1));
  }
  const __m512i by_row = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  alignas(64) float values[16];  // [row][feature]
  _mm512_store_ps(values, _mm512_mul_ps(_mm512_permutexvar_ps(by_row, totals),
                                        _mm512_broadcast_f32x4(_mm_loadu_ps(factors))));
  alignas(32) uint16_t rounded[16];
  _mm256_store_si256(reinterpret_cast<__m256i*>(rounded),
                     avx512::RoundToBf16(_mm512_load_ps(values)));
  for (int64_t n = 0; n < rows; ++n) {
    const bool bf16 = job.out.dtype == DType::kBF16;
    const size_t bytes = static_cast<size_t>(features * SizeOf(job.out.dtype));
    if (bf16) {
      std::memcpy(RowBf16(job.out, first_row + n) + first_feature, rounded + 4 * n, bytes);
    } else {
      std::memcpy(RowF32(job.out, first_row + n) + first_feature, values + 4 * n, bytes);
    }
  }
}

// BF16 rows are read where they lie.
struct Bf16InPlace {
  static constexpr bool kInPlace = true;
  static __m512i Decode32(const LinearWeight& weight, int64_t index) {
    return _mm512_loadu_si512(static_cast<const uint8_t*>(weight.data) + 2 * index);
  }
};
struct Bf16Copied : Bf16InPlace {
  static constexpr bool kInPlace = false;
};

// All leaves of 4 output features for every tile of the job.
template <typename Decoder, int N>
void RunFeatures(const LinearJob& job, const Decoder& decoder, const LeafBuffer& buffer,
                 int64_t first_feature) {
  const LinearWeight& weight = *job.weight;
  const int64_t num_leaves = LeafCount(weight.in_features);
  const int64_t leaf_steps = (weight.in_features / num_leaves + kStep - 1) / kStep;
  std::array<LeafStack<__m512>, kMaxJobTiles> stacks;
  for (int64_t leaf = 0; leaf < num_leaves; ++leaf) {
    const int64_t begin = leaf * leaf_steps;
    WeightRows rows;
    for (size_t m = 0; m < rows.size(); ++m) {
      const int64_t feature = std::min(first_feature + static_cast<int64_t>(m), job.out_end - 1);
      if constexpr (Decoder::kInPlace) {
        rows[m] = static_cast<const uint8_t*>(weight.data) +
                  2 * (feature * weight.in_features + begin * kStep);
      } else {
        rows[m] = buffer.row(m);
        DecodeRow(decoder, weight, feature, begin, begin + leaf_steps, buffer.row(m));
      }
    }
    for (int64_t tile = job.tile_begin; tile < job.tile_end; ++tile) {
      const uint16_t* inputs =
          job.inputs->bf16() + tile * job.inputs->tile_stride() + begin * N * kStep;
      stacks[static_cast<size_t>(tile - job.tile_begin)].Push(
          leaf, LeafSums<N>(rows, inputs, leaf_steps),
          [](__m512 a, __m512 b) { return _mm512_add_ps(a, b); });
    }
  }
  for (int64_t tile = job.tile_begin; tile < job.tile_end; ++tile) {
    StoreTile<N>(job, first_feature, tile * N,
                 stacks[static_cast<size_t>(tile - job.tile_begin)].Total(num_leaves));
  }
}

template <typename Decoder, int N>
void RunTiles(const LinearJob& job) {
  const int64_t k = job.weight->in_features;
  const Decoder decoder;
  const LeafBuffer buffer((k / LeafCount(k) + kStep - 1) / kStep);
  for (int64_t o = job.out_begin; o < job.out_end; o += kJobFeatures) {
    RunFeatures<Decoder, N>(job, decoder, buffer, o);
  }
}

template <typename Decoder>
void RunJob(const LinearJob& job) {
  switch (job.inputs->tile_rows()) {
    case 1:
      return RunTiles<Decoder, 1>(job);
    case 2:
      return RunTiles<Decoder, 2>(job);
    default:
      return RunTiles<Decoder, 4>(job);
  }
}

}  // namespace

void RunLinearAvx512Bf16(const LinearJob& job) noexcept {
  switch (job.weight->format) {
    case LinearFormat::kBF16:
      if (job.weight->in_features % kStep == 0) return RunJob<Bf16InPlace>(job);
      return RunJob<Bf16Copied>(job);
    case LinearFormat::kF8:
      return RunJob<avx512::F8Decoder>(job);
    case LinearFormat::kNvfp4:
      return RunJob<avx512::Nvfp4Decoder>(job);
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

// Tiles on tensor cores, for BF16 queries over BF16 or FP8 pages and the usual head sizes. Scores:
// warp w takes page w of the tile, 16 keys by the block's queries, products exact and sums FP32.
// Weighted sums: a warp takes 64 dimensions of some of the tile's pages; a weight is split into
// three BF16 numbers that add up to it exactly, so its products with the values are exact too.
//
// Operands come straight from memory as whole words: inside a product the order of its 16 terms is
// the hardware's, so dimensions (for scores) and rows (for sums) are dealt to lanes as they lie in
// memory. With g = lane / 4 and t = lane % 4: of 32 dimensions lane t has 8 t .. 8 t + 7 of keys g
// and g + 8; of 64 rows of values' transpose lane g has 4 g .. 4 g + 3 and 32 + those, of keys 2 t,
// 2 t + 1, 2 t + 8 and 2 t + 9.
#pragma once

#include "talon/backend/cuda/attention_block.cuh"
#include "talon/backend/cuda/ptx.cuh"

namespace talon::cuda {

// Two E4M3 codes in the high bytes of the halves as BF16, exactly (no NaN).
__device__ __forceinline__ uint32_t Bf16PairOfFp8(uint32_t codes) {
  const uint32_t moved = (codes & 0x80008000u) | ((codes >> 4) & 0x07F007F0u);
  return MulBf16x2(moved, 0x7B807B80u);  // 2^120
}

// How a lane reads 8 dimensions of a key and 4 of a value.
struct Bf16Pages {
  static constexpr int kElementBytes = 2;
  using KeyWord = uint4;
  using ValueWord = uint2;
  // Dimension pairs i = 0 .. 3.
  __device__ static __forceinline__ uint32_t KeyPair(const KeyWord& word, int i) {
    return i == 0 ? word.x : i == 1 ? word.y : i == 2 ? word.z : word.w;
  }
  // Dimension j = 0 .. 3 of two tokens.
  __device__ static __forceinline__ uint32_t ValuePair(const ValueWord& a, const ValueWord& b,
                                                       int j) {
    return __byte_perm(j < 2 ? a.x : a.y, j < 2 ? b.x : b.y, j % 2 == 0 ? 0x5410 : 0x7632);
  }
};
struct Fp8Pages {
  static constexpr int kElementBytes = 1;
  using KeyWord = uint2;
  using ValueWord = uint32_t;
  __device__ static __forceinline__ uint32_t KeyPair(const KeyWord& word, int i) {
    return Bf16PairOfFp8(__byte_perm(i < 2 ? word.x : word.y, 0, i % 2 == 0 ? 0x1404 : 0x3424));
  }
  __device__ static __forceinline__ uint32_t ValuePair(const ValueWord& a, const ValueWord& b,
                                                       int j) {
    return Bf16PairOfFp8(__byte_perm(a, b, 0x4000 + j * 0x1000 + j * 0x10) & 0xFF00FF00u);
  }
};

inline constexpr int kTileColumns = 8;       // queries of one product
inline constexpr int kSliceDimensions = 64;  // of values, a warp's

template <class PagesOf, int kHeadDimOf, int kQueryTilesOf>
struct TensorShape : AttentionSizes<kTileColumns * kQueryTilesOf, kHeadDimOf, kHeadDimOf + 4,
                                    kAttentionWarps * kSliceDimensions / kHeadDimOf> {
  using Pages = PagesOf;
  static constexpr int kHeadDim = kHeadDimOf;
  static constexpr int kQueryTiles = kQueryTilesOf;
  static constexpr int kSlices = kHeadDim / kSliceDimensions;
  static constexpr int kBlocks =
      kQueryTiles == 1 && kHeadDim <= 256 ? 2 : 1;  // of a multiprocessor
  __device__ static int Dimension(int column) { return column; }
};

template <class Shape>
struct TensorWalk : AttentionBlock<Shape> {
  using Base = AttentionBlock<Shape>;
  using Base::a, Base::lane, Base::warp, Base::weights;
  using Pages = typename Shape::Pages;
  using KeyWord = typename Pages::KeyWord;
  using ValueWord = typename Pages::ValueWord;
  static constexpr int kHeadDim = Shape::kHeadDim;
  static constexpr int kQueryTiles = Shape::kQueryTiles;
  static constexpr int kPageTokens = static_cast<int>(kKvPageTokens);
  static constexpr int kPartPages = kTilePages / Shape::kParts;

  int g, t;

  __device__ TensorWalk(const AttentionView& view, uint8_t* shared) : Base(view, shared) {
    g = lane / 4;
    t = lane % 4;
  }

  // Tokens that no row sees are read as ones that some row sees: their scores are masked and their
  // weights zero, and what lies in their slots may be NaN.
  __device__ static __forceinline__ int Nearest(TileTokens tokens, int token) {
    return min(max(token, tokens.begin), tokens.end - 1);
  }
  __device__ __forceinline__ const uint8_t* At(const void* cache, int token, int dimension) const {
    return static_cast<const uint8_t*>(cache) +
           (Base::page_at[token / kPageTokens] + token % kPageTokens * kHeadDim + dimension) *
               Pages::kElementBytes;
  }

  // Brings the warp's page of the tile into L2.
  __device__ void Prefetch(TileTokens tokens) const {
    const int first = warp * kPageTokens;
    if (lane >= 2 || first >= tokens.end || first + kPageTokens <= tokens.begin) return;
    BulkPrefetch(At(lane == 0 ? a.keys : a.values, first, 0),
                 kPageTokens * kHeadDim * Pages::kElementBytes);
  }

  // Scores of the warp's page; -inf where a query does not see the key.
  __device__ __forceinline__ void Scores(TileTokens tokens) const {
    constexpr int kSteps = kHeadDim / 32;                             // of 32 dimensions
    constexpr int kBatch = kSteps < 8 ? kSteps : kSteps > 8 ? 4 : 8;  // loaded together
    const int token = warp * kPageTokens + g;
    const uint8_t* keys[2] = {At(a.keys, Nearest(tokens, token), 8 * t),
                              At(a.keys, Nearest(tokens, token + 8), 8 * t)};
    const uint4* queries[kQueryTiles];  // dead ones are read as live ones and never stored
#pragma unroll
    for (int n = 0; n < kQueryTiles; ++n) {
      const int query = n * kTileColumns + g;
      const int row = Base::first_row + min(Base::RowOf(query), Base::num_rows - 1);
      const int head = Base::first_head + min(Base::HeadOf(query), Base::live_heads - 1);
      queries[n] = reinterpret_cast<const uint4*>(static_cast<const uint16_t*>(a.q.data) +
                                                  row * a.q.row_stride + head * kHeadDim + 8 * t);
    }
    float sums[kQueryTiles][2][4] = {};
#pragma unroll
    for (int first = 0; first < kSteps; first += kBatch) {
      KeyWord key[kBatch][2];
#pragma unroll
      for (int s = 0; s < kBatch; ++s) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          key[s][half] = *reinterpret_cast<const KeyWord*>(keys[half] +
                                                           (first + s) * 32 * Pages::kElementBytes);
        }
      }
#pragma unroll
      for (int s = 0; s < kBatch; ++s) {
        uint32_t pair[4][2];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          pair[i][0] = Pages::KeyPair(key[s][0], i);
          pair[i][1] = Pages::KeyPair(key[s][1], i);
        }
        const uint32_t low[4] = {pair[0][0], pair[0][1], pair[1][0], pair[1][1]};
        const uint32_t high[4] = {pair[2][0], pair[2][1], pair[3][0], pair[3][1]};
#pragma unroll
        for (int n = 0; n < kQueryTiles; ++n) {
          const uint4 q = queries[n][(first + s) * 4];
          MmaBf16(sums[n][0], low, q.x, q.y);
          MmaBf16(sums[n][1], high, q.z, q.w);
        }
      }
    }
#pragma unroll
    for (int n = 0; n < kQueryTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        Base::StoreScore(n * kTileColumns + 2 * t + i % 2, token + i / 2 * 8,
                         __fadd_rn(sums[n][0][i], sums[n][1][i]));
      }
    }
  }

  // Weights of query g of tile `n` for tokens `token`, `token` + 1 as three pairs of BF16.
  __device__ __forceinline__ void SplitWeights(int n, int token, uint32_t (&parts)[3]) const {
    float2 rest =
        *reinterpret_cast<const float2*>(weights + (n * kTileColumns + g) * kWeightStride + token);
#pragma unroll
    for (int i = 0; i < 3; ++i) {
      const __nv_bfloat162 part = __floats2bfloat162_rn(rest.x, rest.y);
      parts[i] = *reinterpret_cast<const uint32_t*>(&part);
      rest.x = __fsub_rn(rest.x, __low2float(part));
      rest.y = __fsub_rn(rest.y, __high2float(part));
    }
  }

  using Values =
      ValueWord[4][2];  // tokens 2 t, 2 t + 1, 2 t + 8, 2 t + 9; dimensions 4 g, 32 + 4 g
  __device__ __forceinline__ void LoadValues(TileTokens tokens, int page, int slice,
                                             Values& values) const {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int token = Nearest(tokens, page * kPageTokens + 2 * t + i % 2 + i / 2 * 8);
      const uint8_t* from = At(a.values, token, slice * kSliceDimensions + 4 * g);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        values[i][half] =
            *reinterpret_cast<const ValueWord*>(from + half * 32 * Pages::kElementBytes);
      }
    }
  }

  // Adds a page to sums[n][j]: dimensions 4 g + j (and 32 more) by queries 2 t, 2 t + 1.
  __device__ __forceinline__ void AddPage(int page, const Values& values,
                                          float (&sums)[kQueryTiles][4][4]) const {
    uint32_t rows[4][4];
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      rows[j][0] = Pages::ValuePair(values[0][0], values[1][0], j);
      rows[j][1] = Pages::ValuePair(values[0][1], values[1][1], j);
      rows[j][2] = Pages::ValuePair(values[2][0], values[3][0], j);
      rows[j][3] = Pages::ValuePair(values[2][1], values[3][1], j);
    }
#pragma unroll
    for (int n = 0; n < kQueryTiles; ++n) {
      uint32_t low[3], high[3];
      SplitWeights(n, page * kPageTokens + 2 * t, low);
      SplitWeights(n, page * kPageTokens + 2 * t + 8, high);
#pragma unroll
      for (int part = 0; part < 3; ++part) {
#pragma unroll
        for (int j = 0; j < 4; ++j) MmaBf16(sums[n][j], rows[j], low[part], high[part]);
      }
    }
  }

  __device__ void StoreSums(int part, int slice, const float (&sums)[kQueryTiles][4][4]) const {
#pragma unroll
    for (int n = 0; n < kQueryTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int query = n * kTileColumns + 2 * t + i % 2;
        float* to = Base::partial + part * Shape::kPartCount + query * Shape::kColumnStride +
                    slice * kSliceDimensions + i / 2 * 32 + 4 * g;
        *reinterpret_cast<float4*>(to) =
            make_float4(sums[n][0][i], sums[n][1][i], sums[n][2][i], sums[n][3][i]);
      }
    }
  }

  // One tile: calls on_states() when the queries' states are in shared memory, then on_sum (see
  // AddParts).
  template <class OnStates, class OnSum>
  __device__ __forceinline__ void WalkTile(int tile, OnStates on_states, OnSum on_sum) {
    const TileTokens tokens = Base::OpenTile(tile);
    Prefetch(tokens);
    WaitForPreviousKernel();
    Scores(tokens);
    const int slice = warp % Shape::kSlices;
    const int part = warp / Shape::kSlices;
    constexpr int kBatch = kPartPages < 2 ? kPartPages : 2;  // loaded together
    Values values[kBatch];
#pragma unroll
    for (int i = 0; i < kBatch; ++i) LoadValues(tokens, part * kPartPages + i, slice, values[i]);
    __syncthreads();
    Base::Softmax();
    __syncthreads();
    on_states();
    float sums[kQueryTiles][4][4] = {};
#pragma unroll 1
    for (int first = 0; first < kPartPages; first += kBatch) {
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        AddPage(part * kPartPages + first + i, values[i], sums);
        const int next = first + i + kBatch;
        if (next < kPartPages) LoadValues(tokens, part * kPartPages + next, slice, values[i]);
      }
    }
    StoreSums(part, slice, sums);
    Base::AddParts(on_sum);
  }
};

}  // namespace talon::cuda

#include "talon/backend/cuda/repack.h"

#include "talon/backend/cuda/nvfp4_bits.h"

namespace talon::cuda {
namespace {

// Where a thread writes: one lane of one chunk.
struct Place {
  int64_t row;  // of lane row g in the matrix
  int64_t k;    // first column of the chunk
  int lane;
  uint8_t* chunk;
};

__device__ bool FindPlace(const LinearLayout& layout, uint8_t* to, Place& place) {
  const int64_t index = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x;
  const int64_t chunk = index / 32;
  const int64_t tile_chunks = static_cast<int64_t>(layout.num_leaves) * layout.leaf_chunks;
  if (chunk >= layout.num_tiles * tile_chunks) return false;
  place.lane = static_cast<int>(index % 32);
  place.row = chunk / tile_chunks * kTileRows + place.lane / 4;
  place.k = chunk % tile_chunks * kChunkK;
  place.chunk = to + chunk * layout.chunk_bytes;
  return true;
}

// Column offset inside a k16 step of the low half of register `pair`, and the row it belongs to.
__device__ int PairColumn(int pair, int lane) { return 2 * (lane % 4) + (pair >= 2 ? 8 : 0); }
__device__ int PairRow(int pair) { return pair % 2 * 8; }

__device__ bool Inside(const LinearLayout& layout, int64_t row, int64_t k) {
  return row < layout.out_features && k < layout.in_features;
}

__device__ uint32_t BlockScale(const RepackSource& source, const LinearLayout& layout, int64_t row,
                               int64_t k) {
  if (!Inside(layout, row, k)) return 0;
  return source.block_scales[row * (layout.in_features / 16) + k / 16];
}

__global__ void RepackNvfp4(RepackSource source, LinearLayout layout, uint8_t* to,
                            uint32_t* nan_found) {
  Place place;
  if (!FindPlace(layout, to, place)) return;
  const uint8_t* data = static_cast<const uint8_t*>(source.data);
  uint32_t stored_scales[2][2];
  for (int step = 0; step < 2; ++step) {
    const int64_t k = place.k + step * 16;
    uint8_t codes[8];
    for (int pair = 0; pair < 4; ++pair) {
      const int64_t row = place.row + PairRow(pair);
      const int64_t column = k + PairColumn(pair, place.lane);
      const uint32_t scale = BlockScale(source, layout, row, k);
      const bool live = Inside(layout, row, column) && (scale & 0x7Fu) != 0;
      uint32_t byte = live ? data[(row * layout.in_features + column) / 2] : 0u;
      if (live && (scale & 0x80u) != 0) byte ^= 0x88u;
      codes[2 * pair] = byte & 15u;
      codes[2 * pair + 1] = byte >> 4;
    }
    reinterpret_cast<uint32_t*>(place.chunk)[place.lane * 2 + step] = PackNvfp4Word(codes);
    for (int half = 0; half < 2; ++half) {
      const uint32_t scale = BlockScale(source, layout, place.row + half * 8, k) & 0x7Fu;
      if (scale == 0x7Fu) *nan_found = 1;
      stored_scales[step][half] = PackNvfp4Scale(scale);
    }
  }
  if (place.lane % 4 == 0) {
    reinterpret_cast<uint32_t*>(place.chunk + 256)[place.lane / 4] = PackNvfp4Scales(stored_scales);
  }
}

__global__ void RepackBf16(RepackSource source, LinearLayout layout, uint8_t* to) {
  Place place;
  if (!FindPlace(layout, to, place)) return;
  const uint16_t* data = static_cast<const uint16_t*>(source.data);
  for (int step = 0; step < 2; ++step) {
    for (int i = 0; i < 8; ++i) {
      const int pair = i / 2;
      const int64_t row = place.row + PairRow(pair);
      const int64_t column = place.k + step * 16 + PairColumn(pair, place.lane) + i % 2;
      const uint16_t value =
          Inside(layout, row, column) ? data[row * layout.in_features + column] : uint16_t{0};
      reinterpret_cast<uint16_t*>(place.chunk)[step * 256 + place.lane * 8 + i] = value;
    }
  }
}

__global__ void RepackFp8(RepackSource source, LinearLayout layout, uint8_t* to,
                          uint32_t* nan_found) {
  Place place;
  if (!FindPlace(layout, to, place)) return;
  const uint8_t* data = static_cast<const uint8_t*>(source.data);
  for (int i = 0; i < 16; ++i) {
    const int pair = i / 2 % 4;
    const int64_t row = place.row + PairRow(pair);
    const int64_t column = place.k + i / 8 * 16 + PairColumn(pair, place.lane) + i % 2;
    const uint8_t code =
        Inside(layout, row, column) ? data[row * layout.in_features + column] : uint8_t{0};
    if ((code & 0x7Fu) == 0x7Fu) *nan_found = 1;
    place.chunk[place.lane * 16 + i] = code;
  }
}

}  // namespace

cudaError_t LaunchRepack(const RepackSource& source, const LinearLayout& layout, uint8_t* to,
                         uint32_t* nan_found, cudaStream_t stream) {
  constexpr int kThreads = 256;
  const int64_t lanes = layout.SizeBytes() / layout.chunk_bytes * 32;
  const dim3 blocks(static_cast<unsigned>((lanes + kThreads - 1) / kThreads));
  switch (source.format) {
    case LinearFormat::kNvfp4:
      RepackNvfp4<<<blocks, kThreads, 0, stream>>>(source, layout, to, nan_found);
      break;
    case LinearFormat::kBF16:
      RepackBf16<<<blocks, kThreads, 0, stream>>>(source, layout, to);
      break;
    case LinearFormat::kF8:
      RepackFp8<<<blocks, kThreads, 0, stream>>>(source, layout, to, nan_found);
      break;
  }
  return cudaGetLastError();
}

}  // namespace talon::cuda

#include "talon/quantize/weight_quantizer.h"

#include <algorithm>
#include <vector>

#include "talon/base/error.h"
#include "talon/numeric/bf16.h"
#include "talon/numeric/e2m1.h"
#include "talon/numeric/e4m3.h"
#include "talon/numeric/nvfp4.h"
#include "talon/quantize/model_files.h"

namespace talon {
namespace {

constexpr size_t kBlock = static_cast<size_t>(kNvfp4BlockSize);
// Weights of one task: 128 KiB, so that a task's data stay in a core's cache.
constexpr size_t kTaskWeights = size_t{1} << 16;
// Weights read before their memory is let go of.
constexpr size_t kChunkWeights = size_t{1} << 25;
constexpr uint16_t kFirstNonFinite = 0x7F80;

size_t NumTasks(size_t num_weights) { return (num_weights + kTaskWeights - 1) / kTaskWeights; }

// Runs fn(first weight, number of weights) over slices of whole blocks.
template <typename Fn>
void ForEachSlice(ThreadPool& pool, size_t num_weights, const Fn& fn) {
  pool.Run(static_cast<int64_t>(NumTasks(num_weights)), [&](int64_t task) {
    const size_t begin = static_cast<size_t>(task) * kTaskWeights;
    fn(begin, std::min(kTaskWeights, num_weights - begin));
  });
}

// The largest magnitude's bits. Magnitudes of BF16 order like their bits, as signed 16-bit
// integers.
int16_t MaxMagnitudeBits(const uint16_t* weights, size_t count) {
  int16_t largest = 0;
  for (size_t i = 0; i < count; ++i) {
    largest = std::max(largest, static_cast<int16_t>(weights[i] & 0x7FFF));
  }
  return largest;
}

[[noreturn]] void RefuseNonFinite(const TensorView& tensor) {
  const std::span<const uint16_t> weights = Bf16Elements(tensor);
  const auto bad = std::find_if(weights.begin(), weights.end(), [](uint16_t weight) {
    return (weight & 0x7FFF) >= kFirstNonFinite;
  });
  Throw(ErrorCode::kDataLoss, "{}: holds {} at element {}; weights must be finite to be quantized",
        tensor.Where(), Bf16ToFloat(*bad), bad - weights.begin());
}

// Codes of one block; the loops are written for the vectorizer.
void PackBlock(const uint16_t* weights, float divisor, uint8_t* packed) {
  uint8_t codes[kBlock];
  for (size_t i = 0; i < kBlock; ++i) codes[i] = EncodeE2m1(Bf16ToFloat(weights[i]) / divisor);
  for (size_t j = 0; j < kBlock / 2; ++j) {
    packed[j] = static_cast<uint8_t>(codes[2 * j] | (codes[2 * j + 1] << 4));
  }
}

}  // namespace

std::span<const uint16_t> Bf16Elements(const TensorView& tensor) {
  CheckInternal(tensor.dtype == DType::kBF16, "a BF16 tensor was expected");
  return {reinterpret_cast<const uint16_t*>(tensor.bytes.data()), tensor.bytes.size() / 2};
}

float WeightAmax(ThreadPool& pool, const TensorView& tensor) {
  const std::span<const uint16_t> weights = Bf16Elements(tensor);
  int16_t bits = 0;
  for (size_t begin = 0; begin < weights.size(); begin += kChunkWeights) {
    const size_t count = std::min(kChunkWeights, weights.size() - begin);
    std::vector<int16_t> largest(NumTasks(count), 0);
    ForEachSlice(pool, count, [&](size_t offset, size_t size) {
      largest[offset / kTaskWeights] = MaxMagnitudeBits(weights.data() + begin + offset, size);
    });
    bits = std::max(bits, *std::max_element(largest.begin(), largest.end()));
    ReleaseTensorBytes(tensor, 2 * begin, 2 * count);
  }
  if (static_cast<uint16_t>(bits) >= kFirstNonFinite) RefuseNonFinite(tensor);
  return Bf16ToFloat(static_cast<uint16_t>(bits));
}

void ComputeBlockScales(ThreadPool& pool, std::span<const uint16_t> weights, float tensor_scale,
                        std::span<uint8_t> block_scales) {
  ForEachSlice(pool, weights.size(), [&](size_t begin, size_t count) {
    for (size_t i = begin; i < begin + count; i += kBlock) {
      const int16_t bits = MaxMagnitudeBits(weights.data() + i, kBlock);
      block_scales[i / kBlock] =
          Nvfp4BlockScale(Bf16ToFloat(static_cast<uint16_t>(bits)), tensor_scale);
    }
  });
}

void PackWeights(ThreadPool& pool, std::span<const uint16_t> weights, float tensor_scale,
                 std::span<const uint8_t> block_scales, std::span<uint8_t> packed) {
  ForEachSlice(pool, weights.size(), [&](size_t begin, size_t count) {
    for (size_t i = begin; i < begin + count; i += kBlock) {
      const float divisor = DecodeE4m3(block_scales[i / kBlock]) * tensor_scale;
      PackBlock(weights.data() + i, divisor, packed.data() + i / 2);
    }
  });
}

}  // namespace talon

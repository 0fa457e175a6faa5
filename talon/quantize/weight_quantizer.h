// Quantizes whole BF16 weight matrices on all cores, with the bytes of the scalar definition
// (talon/numeric/nvfp4.h): maxima, products and divisions are per element, so neither the split
// over threads nor vector instructions change them.
#pragma once

#include <cstdint>
#include <span>

#include "talon/base/thread_pool.h"
#include "talon/checkpoint/safetensors.h"

namespace talon {

// The elements of a BF16 tensor.
std::span<const uint16_t> Bf16Elements(const TensorView& tensor);

// max |w|; lets go of mapped memory as it reads. Throws kDataLoss naming the tensor and the index
// of the first NaN or infinity.
float WeightAmax(ThreadPool& pool, const TensorView& tensor);

// E4M3 codes of the scales of consecutive blocks of 16 weights.
void ComputeBlockScales(ThreadPool& pool, std::span<const uint16_t> weights, float tensor_scale,
                        std::span<uint8_t> block_scales /* [n / 16] */);

// E2M1 codes of the same blocks under those scales.
void PackWeights(ThreadPool& pool, std::span<const uint16_t> weights, float tensor_scale,
                 std::span<const uint8_t> block_scales /* [n / 16] */,
                 std::span<uint8_t> packed /* [n / 2] */);

}  // namespace talon

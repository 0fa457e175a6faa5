// Scalar access to the elements of tensors and KV pages, and the page layout of the CPU backend.
#pragma once

#include <cstdint>

#include "talon/backend/tensor.h"
#include "talon/numeric/bf16.h"
#include "talon/numeric/e4m3.h"

namespace talon::cpu {

// Element `index` of an F32, BF16 or F8_E4M3 array.
inline float LoadElement(const void* data, DType dtype, int64_t index) {
  switch (dtype) {
    case DType::kBF16:
      return Bf16ToFloat(static_cast<const uint16_t*>(data)[index]);
    case DType::kF8E4M3:
      return DecodeE4m3(static_cast<const uint8_t*>(data)[index]);
    default:
      return static_cast<const float*>(data)[index];
  }
}

// Rounds `value` to `dtype` (nearest even; F8 saturates) and stores it.
inline void StoreElement(void* data, DType dtype, int64_t index, float value) {
  switch (dtype) {
    case DType::kBF16:
      static_cast<uint16_t*>(data)[index] = FloatToBf16(value);
      break;
    case DType::kF8E4M3:
      static_cast<uint8_t*>(data)[index] = EncodeE4m3(value);
      break;
    default:
      static_cast<float*>(data)[index] = value;
  }
}

inline float Load(const Tensor& tensor, int64_t row, int64_t col) {
  return LoadElement(tensor.data, tensor.dtype, row * tensor.row_stride + col);
}

inline void Store(const Tensor& tensor, int64_t row, int64_t col, float value) {
  StoreElement(tensor.data, tensor.dtype, row * tensor.row_stride + col, value);
}

// `rb` of docs/numerics.md.
inline float Round(float value, DType dtype) {
  return dtype == DType::kBF16 ? RoundToBf16(value) : value;
}

inline float* RowF32(const Tensor& tensor, int64_t row) {
  return static_cast<float*>(tensor.data) + row * tensor.row_stride;
}
inline uint16_t* RowBf16(const Tensor& tensor, int64_t row) {
  return static_cast<uint16_t*>(tensor.data) + row * tensor.row_stride;
}

// Keys lie as [page][kv_head][head_dim][16 tokens], so that a vector's lanes are tokens; values as
// [page][kv_head][16 tokens][head_dim].
inline int64_t KvHeadOffset(const KvLayer& layer, int64_t page, int64_t kv_head) {
  return (page * layer.num_kv_heads + kv_head) * layer.head_dim * kKvPageTokens;
}
inline int64_t KeyIndex(const KvLayer& layer, int64_t page, int64_t kv_head, int64_t slot,
                        int64_t dim) {
  return KvHeadOffset(layer, page, kv_head) + dim * kKvPageTokens + slot;
}
inline int64_t ValueIndex(const KvLayer& layer, int64_t page, int64_t kv_head, int64_t slot,
                          int64_t dim) {
  return KvHeadOffset(layer, page, kv_head) + slot * layer.head_dim + dim;
}

// The page of `position` in sequence `sequence`, or -1.
inline int64_t PageOf(const BlockTable& table, int64_t sequence, int64_t position) {
  return table.pages[sequence * table.stride + position / kKvPageTokens];
}

// The sequence that owns `row`.
inline int64_t SequenceOf(const RowBatch& rows, int64_t row) {
  int64_t sequence = 0;
  while (rows.row_begin[sequence + 1] <= row) ++sequence;
  return sequence;
}

}  // namespace talon::cpu

// Views of backend memory and the handles ops work on. Nothing here owns memory but Buffer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "talon/numeric/dtype.h"
#include "talon/numeric/host_linear.h"

namespace talon {

// Memory of a backend (host memory on the CPU, device memory on a GPU), freed with the last handle.
using Buffer = std::shared_ptr<void>;

// A row-major matrix view: [rows, cols], consecutive columns, rows `row_stride` elements apart.
struct Tensor {
  void* data = nullptr;
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t row_stride = 0;

  Tensor Rows(int64_t begin, int64_t count) const {
    Tensor view = *this;
    view.data = static_cast<std::byte*>(data) + begin * row_stride * SizeOf(dtype);
    view.rows = count;
    return view;
  }
  Tensor Cols(int64_t begin, int64_t count) const {
    Tensor view = *this;
    view.data = static_cast<std::byte*>(data) + begin * SizeOf(dtype);
    view.cols = count;
    return view;
  }
};

// How a quantized linear treats its inputs.
enum class LinearNumerics : uint8_t {
  kWeightOnly,  // W4A16: inputs stay as they are
  kW4A4,  // NVFP4 inputs, quantized per block of 16 under input_scale (emulated off Blackwell)
};

// A linear's weights in backend memory. Made by Backend::MakeLinear; cheap to copy.
struct LinearWeight {
  LinearFormat format = LinearFormat::kBF16;
  LinearNumerics numerics = LinearNumerics::kWeightOnly;
  int64_t out_features = 0;
  int64_t in_features = 0;
  const void* data = nullptr;             // layout private to the backend
  const uint8_t* block_scales = nullptr;  // [out, in / 16] in file order on the CPU
  const float* row_scales = nullptr;      // [out] or null
  float weight_scale = 1.0f;
  float input_scale = 0.0f;
  std::shared_ptr<const void> owner;
};

// Tokens in a KV page; page p of a sequence holds positions [p * kKvPageTokens, (p+1) * ...).
inline constexpr int64_t kKvPageTokens = 16;

// One layer's keys and values over a pool of pages; layout private to the backend.
struct KvLayer {
  int64_t num_pages = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  DType dtype = DType::kBF16;  // kF32, kBF16 or kF8E4M3
  float k_scale = 1.0f;        // FP8: stored = value / scale
  float v_scale = 1.0f;
  Buffer keys;
  Buffer values;
};

// The rows of one forward pass, in backend memory. Rows of a sequence are adjacent and their
// positions ascend by one; sequence s owns rows [row_begin[s], row_begin[s + 1]).
struct RowBatch {
  int64_t num_rows = 0;
  int64_t num_sequences = 0;
  const int32_t* row_begin = nullptr;  // [num_sequences + 1]
  const int32_t* positions = nullptr;  // [num_rows]
};

// Where each sequence's pages lie in one page family: pages[s * stride + position / kKvPageTokens].
// -1 marks a page that was given back (never read) or does not exist (writes to it are dropped).
struct BlockTable {
  const int32_t* pages = nullptr;  // [num_sequences, stride]
  int64_t stride = 0;
};

}  // namespace talon

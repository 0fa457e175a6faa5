// Descriptions of matrices for the tensor copy engine.
#pragma once

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <cstdint>

namespace talon::cuda {

// BF16 [rows, cols] on 16 bytes, read in boxes whose rows are swizzled by 128 bytes.
struct BoxedMatrix {
  const void* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t row_stride = 0;  // elements
  int box_rows = 0;
  int box_cols = 0;  // 64
};

cudaError_t MakeTensorMap(const BoxedMatrix& matrix, CUtensorMap* map);

}  // namespace talon::cuda

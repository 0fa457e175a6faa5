#include "talon/checkpoint/linear_scales.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "talon/base/error.h"
#include "talon/numeric/bf16.h"
#include "talon/numeric/e4m3.h"

namespace talon {
namespace {

constexpr int64_t kBlockSize = 16;

float ReadScalar(const TensorView& tensor) {
  if (tensor.dtype != DType::kF32 || tensor.num_elements() != 1 || tensor.shape.size() > 1) {
    Throw(ErrorCode::kDataLoss, "{}: found {} {}, expected F32 of shape [] or [1]", tensor.Where(),
          Name(tensor.dtype), tensor.ShapeText());
  }
  float value = 0;
  std::memcpy(&value, tensor.bytes.data(), sizeof(value));
  return value;
}

[[noreturn]] void ThrowScale(const TensorView& tensor, float value, const char* expected) {
  Throw(ErrorCode::kDataLoss, "{}: found {}, expected {}", tensor.Where(), value, expected);
}

// First code that is NaN (0x7F, 0xFF) or has the sign bit, or -1.
int64_t FindBadScale(std::span<const std::byte> codes) {
  constexpr size_t kStep = 4096;
  for (size_t begin = 0; begin < codes.size(); begin += kStep) {
    const auto part = codes.subspan(begin, std::min(kStep, codes.size() - begin));
    uint8_t largest = 0;
    for (const std::byte code : part) largest = std::max(largest, std::to_integer<uint8_t>(code));
    if (largest < 0x7F) continue;
    for (size_t i = 0; i < part.size(); ++i) {
      if (std::to_integer<uint8_t>(part[i]) >= 0x7F) return static_cast<int64_t>(begin + i);
    }
  }
  return -1;
}

}  // namespace

void CheckTensor(const TensorView& tensor, DType dtype, const std::vector<int64_t>& shape) {
  if (tensor.dtype != dtype || tensor.shape != shape) {
    Throw(ErrorCode::kDataLoss, "{}: found {} {}, expected {} [{}]", tensor.Where(),
          Name(tensor.dtype), tensor.ShapeText(), Name(dtype), fmt::join(shape, ", "));
  }
}

float ReadScalarScale(const TensorView& tensor) {
  const float value = ReadScalar(tensor);
  if (!std::isfinite(value) || value < 0) ThrowScale(tensor, value, "a finite scale, zero or more");
  return value;
}

float ReadPositiveScale(const TensorView& tensor) {
  const float value = ReadScalar(tensor);
  if (!std::isfinite(value) || value <= 0) {
    ThrowScale(tensor, value, "a finite scale above zero; did calibration reach this linear?");
  }
  return value;
}

float ReadReciprocalScale(const TensorView& tensor) {
  const float value = ReadPositiveScale(tensor);
  if (!std::isfinite(1.0f / value)) ThrowScale(tensor, value, "a scale with a finite reciprocal");
  return 1.0f / value;
}

std::shared_ptr<const std::vector<float>> ReadRowScales(const TensorView& tensor,
                                                        int64_t out_features) {
  if (tensor.shape.size() == 2) {
    CheckTensor(tensor, tensor.dtype, {out_features, 1});
  } else {
    CheckTensor(tensor, tensor.dtype, {out_features});
  }
  auto scales = std::make_shared<std::vector<float>>(static_cast<size_t>(out_features));
  for (size_t i = 0; i < scales->size(); ++i) {
    float& value = (*scales)[i];
    if (tensor.dtype == DType::kF32) {
      std::memcpy(&value, tensor.bytes.data() + 4 * i, 4);
    } else if (tensor.dtype == DType::kBF16) {
      uint16_t bits = 0;
      std::memcpy(&bits, tensor.bytes.data() + 2 * i, 2);
      value = Bf16ToFloat(bits);
    } else {
      CheckTensor(tensor, DType::kF32, tensor.shape);
    }
    if (!std::isfinite(value) || value < 0) {
      Throw(ErrorCode::kDataLoss, "{}: found {} at [{}], expected a finite scale, zero or more",
            tensor.Where(), value, i);
    }
  }
  return scales;
}

void CheckBlockScales(const TensorView& tensor, int64_t out_features, int64_t in_features) {
  if (tensor.dtype == DType::kU8) {
    Throw(ErrorCode::kUnsupported,
          "{}: U8 block scales: MXFP4 is not supported; NVFP4 has F8_E4M3 scales", tensor.Where());
  }
  const int64_t blocks = in_features / kBlockSize;
  CheckTensor(tensor, DType::kF8E4M3, {out_features, blocks});
  const int64_t bad = FindBadScale(tensor.bytes);
  if (bad < 0) return;
  const auto code = std::to_integer<uint8_t>(tensor.bytes[static_cast<size_t>(bad)]);
  Throw(
      ErrorCode::kDataLoss,
      "{}: block scale [{}, {}] is {} (0x{:02X}); the weights of this block are lost, quantize the "
      "model again",
      tensor.Where(), bad / blocks, bad % blocks, IsNanE4m3(code) ? "NaN" : "negative", code);
}

}  // namespace talon

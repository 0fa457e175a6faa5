// Scalar linear: the K order for F32 inputs, every weight format.
#include <cmath>
#include <limits>
#include <vector>

#include "talon/backend/cpu/element.h"
#include "talon/backend/cpu/k_order.h"
#include "talon/backend/cpu/reference.h"
#include "talon/numeric/e2m1.h"
#include "talon/numeric/nvfp4.h"

namespace talon::cpu::reference {

float WeightElement(const LinearWeight& weight, int64_t out_feature, int64_t in_feature) {
  const int64_t index = out_feature * weight.in_features + in_feature;
  switch (weight.format) {
    case LinearFormat::kBF16:
      return LoadElement(weight.data, DType::kBF16, index);
    case LinearFormat::kF8:
      return LoadElement(weight.data, DType::kF8E4M3, index);
    case LinearFormat::kNvfp4: {
      const uint8_t pair = static_cast<const uint8_t*>(weight.data)[index / 2];
      const auto code = static_cast<uint8_t>(index % 2 == 0 ? pair & 0xF : pair >> 4);
      return DecodeE2m1(code) * DecodeE4m3(weight.block_scales[index / kNvfp4BlockSize]);
    }
  }
  return 0.0f;
}

float OutputFactor(const LinearWeight& weight, int64_t out_feature) {
  if (weight.format == LinearFormat::kBF16) return 1.0f;
  if (weight.row_scales != nullptr) return weight.row_scales[out_feature];
  const bool w4a4 = weight.numerics == LinearNumerics::kW4A4;
  return w4a4 ? weight.input_scale * weight.weight_scale : weight.weight_scale;
}

void LinearInputs(const LinearWeight& weight, const Tensor& x, int64_t row, float* inputs) {
  for (int64_t k = 0; k < weight.in_features; ++k) inputs[k] = Load(x, row, k);
  if (weight.numerics != LinearNumerics::kW4A4) return;
  for (int64_t k = 0; k < weight.in_features; k += kNvfp4BlockSize) {
    float block[kNvfp4BlockSize];
    QuantizeActivationBlock(inputs + k, weight.input_scale, block);
    for (int64_t i = 0; i < kNvfp4BlockSize; ++i) inputs[k + i] = block[i];
  }
}

float OrderedDot(const float* x, const float* w, int64_t k) {
  const int64_t num_leaves = LeafCount(k);
  const int64_t leaf_length = k / num_leaves;
  float leaves[8];
  for (int64_t leaf = 0; leaf < num_leaves; ++leaf) {
    float lanes[kLanes] = {};
    for (int64_t i = 0; i < leaf_length; ++i) {
      const int64_t at = leaf * leaf_length + i;
      lanes[i % kLanes] = std::fma(x[at], w[at], lanes[i % kLanes]);
    }
    leaves[leaf] = LaneTree(lanes);
  }
  return LeafTree(leaves, num_leaves);
}

namespace {

float FlushDenormal(float value) {
  return std::abs(value) < std::numeric_limits<float>::min() ? std::copysign(0.0f, value) : value;
}

// One product of VDPBF16PS.
float AddProduct(float x, float w, float sum) {
  return FlushDenormal(std::fma(FlushDenormal(x), FlushDenormal(w), sum));
}

}  // namespace

float OrderedDotPairs(const float* x, const float* w, int64_t k) {
  const int64_t num_leaves = LeafCount(k);
  const int64_t leaf_length = k / num_leaves;
  float leaves[8];
  for (int64_t leaf = 0; leaf < num_leaves; ++leaf) {
    float lanes[kLanes] = {};
    for (int64_t i = 0; i < leaf_length; i += 2) {
      const int64_t at = leaf * leaf_length + i;
      float& lane = lanes[i / 2 % kLanes];
      if (i + 1 < leaf_length) lane = AddProduct(x[at + 1], w[at + 1], lane);
      lane = AddProduct(x[at], w[at], lane);
    }
    leaves[leaf] = LaneTree(lanes);
  }
  return LeafTree(leaves, num_leaves);
}

void Linear(const Tensor& x, const LinearWeight& weight, const Tensor& out, RowRange rows) {
  const int64_t k = weight.in_features;
  std::vector<float> inputs(static_cast<size_t>(k));
  std::vector<float> weights(static_cast<size_t>(k));
  for (int64_t o = 0; o < weight.out_features; ++o) {
    for (int64_t i = 0; i < k; ++i) weights[static_cast<size_t>(i)] = WeightElement(weight, o, i);
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      LinearInputs(weight, x, row, inputs.data());
      Store(out, row, o, OrderedDot(inputs.data(), weights.data(), k) * OutputFactor(weight, o));
    }
  }
}

}  // namespace talon::cpu::reference

// Binding of linears in every layout, against a recomputation from the file's own tensors, and
// refusals of broken or unsupported ones by tensor name.
#include "talon/checkpoint/linear_weights.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/checkpoint/safetensors_builder.h"
#include "tests/checkpoint/tensor_fixture.h"
#include "tests/support/test_data.h"

namespace talon {
namespace {

using test::ExpectError;
using test::MakeTensor;
using test::MemoryTensors;
using test::TestData;
using test::ZeroTensor;

constexpr int64_t kOut = 3;
constexpr int64_t kIn = 32;

class BindLinearTest : public testing::Test {
 protected:
  HostLinear Bind() {
    store_ = test::WriteTensors(folder_.path() / "model.safetensors", tensors_);
    return BindLinear(store_, "x", kOut, kIn);
  }
  void ExpectRefused(ErrorCode code, const std::string& message) {
    ExpectError(code, message, [&] { Bind(); });
  }
  void SetScalar(const std::string& suffix, float value, std::vector<int64_t> shape = {}) {
    tensors_["x." + suffix] = MakeTensor<float>(DType::kF32, std::move(shape), {value});
  }
  void MakeModelOpt() {
    tensors_["x.weight"] = ZeroTensor(DType::kU8, {kOut, kIn / 2});
    tensors_["x.weight_scale"] =
        MakeTensor<uint8_t>(DType::kF8E4M3, {kOut, kIn / 16}, {0x38, 0x40, 0x01, 0x7E, 0x00, 0x39});
    SetScalar("weight_scale_2", 0.001f);
    SetScalar("input_scale", 0.25f);
  }
  void MakeCompressed() {
    MakeModelOpt();
    tensors_["x.weight_packed"] = tensors_["x.weight"];
    for (const char* name : {"x.weight", "x.weight_scale_2", "x.input_scale"}) tensors_.erase(name);
    SetScalar("weight_global_scale", 1000.0f, {1});
    SetScalar("input_global_scale", 4.0f, {1});
  }
  void MakeF8() {
    tensors_["x.weight"] = ZeroTensor(DType::kF8E4M3, {kOut, kIn});
    SetScalar("weight_scale", 0.5f);
  }

  MemoryTensors tensors_;
  TensorStore store_;

 private:
  test::TempDir folder_;
};

TEST_F(BindLinearTest, Bf16) {
  tensors_["x.weight"] = ZeroTensor(DType::kBF16, {kOut, kIn});
  const HostLinear linear = Bind();
  EXPECT_EQ(linear.format, LinearFormat::kBF16);
  EXPECT_EQ(linear.name, "x");
  EXPECT_EQ(linear.out_features, kOut);
  EXPECT_EQ(linear.in_features, kIn);
  EXPECT_EQ(linear.data, store_.Get("x.weight").bytes.data());
  EXPECT_EQ(linear.weight_scale, 1.0f);
  EXPECT_EQ(linear.input_scale, 0.0f);
}

TEST_F(BindLinearTest, OwnerKeepsTheBytesAlive) {
  tensors_["x.weight"] = MakeTensor(DType::kBF16, {kOut, kIn}, std::vector<uint16_t>(96, 0x3F80));
  const HostLinear linear = Bind();
  store_ = TensorStore();
  EXPECT_EQ(static_cast<const uint16_t*>(linear.data)[95], 0x3F80);
}

TEST_F(BindLinearTest, F8PerTensorAndPerChannel) {
  MakeF8();
  HostLinear linear = Bind();
  EXPECT_EQ(linear.format, LinearFormat::kF8);
  EXPECT_EQ(linear.weight_scale, 0.5f);
  EXPECT_EQ(linear.row_scales, nullptr);
  EXPECT_EQ(linear.input_scale, 0.0f);
  SetScalar("weight_scale", 0.5f, {1});
  SetScalar("input_scale", 0.125f, {1});
  EXPECT_EQ(Bind().weight_scale, 0.5f);
  EXPECT_EQ(Bind().input_scale, 0.125f);
  for (const std::vector<int64_t>& shape : {std::vector<int64_t>{kOut}, {kOut, 1}}) {
    tensors_["x.weight_scale"] = MakeTensor<float>(DType::kF32, shape, {0.5f, 0.25f, 2.0f});
    linear = Bind();
    EXPECT_EQ(linear.weight_scale, 1.0f);
    EXPECT_EQ(linear.row_scales[0], 0.5f);
    EXPECT_EQ(linear.row_scales[2], 2.0f);
  }
  // BF16 scales are exact in F32: 0x3E80 is 0.25.
  tensors_["x.weight_scale"] =
      MakeTensor<uint16_t>(DType::kBF16, {kOut, 1}, {0x3F80, 0x3E80, 0x4000});
  linear = Bind();
  EXPECT_EQ(linear.row_scales[0], 1.0f);
  EXPECT_EQ(linear.row_scales[1], 0.25f);
  EXPECT_EQ(linear.row_scales[2], 2.0f);
}

TEST_F(BindLinearTest, ModelOptNvfp4) {
  MakeModelOpt();
  const HostLinear linear = Bind();
  EXPECT_EQ(linear.format, LinearFormat::kNvfp4);
  EXPECT_EQ(linear.data, store_.Get("x.weight").bytes.data());
  EXPECT_EQ(linear.block_scales[3], 0x7E);
  EXPECT_EQ(linear.weight_scale, 0.001f);
  EXPECT_EQ(linear.input_scale, 0.25f);
  tensors_.erase("x.input_scale");
  EXPECT_EQ(Bind().input_scale, 0.0f);
}

TEST_F(BindLinearTest, CompressedTensorsNvfp4IsReciprocal) {
  MakeCompressed();
  const HostLinear linear = Bind();
  EXPECT_EQ(linear.format, LinearFormat::kNvfp4);
  EXPECT_EQ(linear.data, store_.Get("x.weight_packed").bytes.data());
  EXPECT_EQ(linear.weight_scale, 1.0f / 1000.0f);
  EXPECT_EQ(linear.input_scale, 0.25f);
  tensors_.erase("x.input_global_scale");
  EXPECT_EQ(Bind().input_scale, 0.0f);
}

TEST_F(BindLinearTest, RefusesWrongShapes) {
  tensors_["x.weight"] = ZeroTensor(DType::kBF16, {kIn, kOut});
  ExpectRefused(ErrorCode::kDataLoss,
                "tensor 'x.weight': found BF16 [32, 3], expected BF16 [3, 32]");
  MakeModelOpt();
  tensors_["x.weight"] = ZeroTensor(DType::kU8, {kOut, kIn});
  ExpectRefused(ErrorCode::kDataLoss, "expected U8 [3, 16]");
  MakeModelOpt();
  tensors_["x.weight_scale"] = ZeroTensor(DType::kF8E4M3, {kOut, kIn / 32});
  ExpectRefused(ErrorCode::kDataLoss,
                "'x.weight_scale': found F8_E4M3 [3, 1], expected F8_E4M3 [3, 2]");
  MakeModelOpt();
  SetScalar("weight_scale_2", 1.0f, {1, 1});
  ExpectRefused(ErrorCode::kDataLoss, "'x.weight_scale_2': found F32 [1, 1]");
  MakeF8();
  tensors_.erase("x.weight_scale_2");
  tensors_["x.weight_scale"] = ZeroTensor(DType::kF32, {kOut + 1});
  ExpectRefused(ErrorCode::kDataLoss, "'x.weight_scale': found F32 [4], expected F32 [3]");
}

TEST_F(BindLinearTest, RefusesMissingTensors) {
  ExpectRefused(ErrorCode::kNotFound, "tensor 'x.weight' is missing");
  MakeModelOpt();
  tensors_.erase("x.weight_scale_2");
  ExpectRefused(ErrorCode::kNotFound, "tensor 'x.weight_scale_2' is missing");
  MakeModelOpt();
  tensors_.erase("x.weight_scale");
  ExpectRefused(ErrorCode::kNotFound, "tensor 'x.weight_scale' is missing");
  tensors_.clear();
  MakeCompressed();
  tensors_.erase("x.weight_global_scale");
  ExpectRefused(ErrorCode::kNotFound, "tensor 'x.weight_global_scale' is missing");
  tensors_.clear();
  MakeF8();
  tensors_.erase("x.weight_scale");
  ExpectRefused(ErrorCode::kNotFound, "tensor 'x.weight_scale' is missing");
}

TEST_F(BindLinearTest, RefusesBadScalesNamingTensorAndIndex) {
  MakeModelOpt();
  for (const uint8_t code : {uint8_t{0x7F}, uint8_t{0xFF}}) {
    tensors_["x.weight_scale"].bytes[3] = std::byte{code};
    ExpectRefused(ErrorCode::kDataLoss, "tensor 'x.weight_scale': block scale [1, 1] is NaN");
  }
  tensors_["x.weight_scale"].bytes[3] = std::byte{0xB8};
  ExpectRefused(ErrorCode::kDataLoss, "block scale [1, 1] is negative (0xB8)");
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float bad : {nan, infinity, -1.0f}) {
    MakeModelOpt();
    SetScalar("weight_scale_2", bad);
    ExpectRefused(ErrorCode::kDataLoss, "tensor 'x.weight_scale_2': found");
  }
  for (const float bad : {nan, infinity, -1.0f, 0.0f}) {
    MakeModelOpt();
    SetScalar("input_scale", bad);
    ExpectRefused(ErrorCode::kDataLoss, "tensor 'x.input_scale': found");
  }
  tensors_.clear();
  for (const float bad : {nan, infinity, 0.0f, 1e-40f}) {
    MakeCompressed();
    SetScalar("weight_global_scale", bad);
    ExpectRefused(ErrorCode::kDataLoss, "tensor 'x.weight_global_scale': found");
  }
  tensors_.clear();
  MakeF8();
  tensors_["x.weight_scale"] = MakeTensor<float>(DType::kF32, {kOut}, {1.0f, nan, 1.0f});
  ExpectRefused(ErrorCode::kDataLoss, "tensor 'x.weight_scale': found nan at [1]");
}

TEST_F(BindLinearTest, RefusesOtherFormatsByName) {
  for (const DType dtype : {DType::kF32, DType::kF16}) {
    tensors_["x.weight"] = ZeroTensor(dtype, {kOut, kIn});
    ExpectRefused(ErrorCode::kUnsupported, "save the checkpoint in bfloat16");
  }
  tensors_["x.weight"] = ZeroTensor(DType::kF8E5M2, {kOut, kIn});
  ExpectRefused(ErrorCode::kUnsupported, "F8_E5M2 weights are not supported");
  // MXFP4: U8 scales over blocks of 32, no second scale.
  tensors_["x.weight"] = ZeroTensor(DType::kU8, {kOut, kIn / 2});
  tensors_["x.weight_scale"] = ZeroTensor(DType::kU8, {kOut, kIn / 32});
  ExpectRefused(ErrorCode::kUnsupported, "MXFP4");
  tensors_.clear();
  tensors_["x.weight_packed"] = ZeroTensor(DType::kU8, {kOut, kIn / 2});
  tensors_["x.weight_scale"] = ZeroTensor(DType::kU8, {kOut, kIn / 32});
  ExpectRefused(ErrorCode::kUnsupported, "MXFP4");
  tensors_["x.weight_packed"] = ZeroTensor(DType::kI32, {kOut, kIn / 8});
  ExpectRefused(ErrorCode::kUnsupported, "int4 and int8 weights (pack-quantized)");
  tensors_.clear();
  tensors_["x.weight"] = ZeroTensor(DType::kBF16, {kOut, kIn});
  SetScalar("weight_scale", 1.0f);
  ExpectRefused(ErrorCode::kUnsupported, "simulated quantization");
}

TEST_F(BindLinearTest, RefusesTensorsThatWouldBeOverlooked) {
  for (const char* suffix :
       {"bias", "qweight", "weight_zero_point", "weight_g_idx", "weight_scale_inv",
        "pre_quant_scale", "svdquant_lora_a", "weight.absmax"}) {
    MakeModelOpt();
    tensors_[std::string("x.") + suffix] = ZeroTensor(DType::kF32, {1});
    ExpectRefused(ErrorCode::kUnsupported, std::string("tensor 'x.") + suffix + "'");
    tensors_.clear();
  }
  MakeCompressed();
  tensors_["x.weight"] = ZeroTensor(DType::kBF16, {kOut, kIn});
  ExpectRefused(ErrorCode::kDataLoss, "stands beside 'x.weight_packed'");
}

TEST(BindLinear, EveryLinearOfTheModelOptFixture) {
  const TensorStore store = TensorStore::Open(TestData("modelopt-nvfp4-drafter"));
  struct Shape {
    const char* module;
    int64_t out_features;
    int64_t in_features;
  };
  const std::vector<Shape> shapes = {
      {"fc", 384, 1152},
      {"layers.0.self_attn.q_proj", 384, 768},
      {"layers.0.self_attn.k_proj", 128, 768},
      {"layers.0.self_attn.v_proj", 128, 768},
      {"layers.0.self_attn.o_proj", 384, 384},
      {"layers.0.mlp.gate_proj", 1536, 384},
      {"layers.0.mlp.up_proj", 1536, 384},
      {"layers.0.mlp.down_proj", 384, 1536},
  };
  for (const Shape& shape : shapes) {
    SCOPED_TRACE(shape.module);
    const HostLinear linear =
        BindLinear(store, shape.module, shape.out_features, shape.in_features);
    EXPECT_EQ(linear.format, LinearFormat::kNvfp4);
    EXPECT_GT(linear.weight_scale, 0.0f);
    EXPECT_LT(linear.weight_scale, 0.01f);
    EXPECT_GT(linear.input_scale, 0.0f);
  }
  EXPECT_EQ(BindLinear(store, "lm_head", 4096, 384).format, LinearFormat::kBF16);
  const TensorStore weight_only =
      TensorStore::Open(TestData("modelopt-nvfp4-drafter/variant-w4a16"));
  EXPECT_EQ(BindLinear(weight_only, "fc", 384, 1152).input_scale, 0.0f);
}

}  // namespace
}  // namespace talon

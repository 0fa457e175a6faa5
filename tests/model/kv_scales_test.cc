// Scales of FP8 KV: found under both tools' names, used by FP8 layers only, 1 where none is stored.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "talon/base/error.h"
#include "talon/model/load.h"
#include "tests/support/checkpoint_editor.h"
#include "tests/support/error_matchers.h"
#include "tests/support/test_data.h"

namespace talon::test {
namespace {

EditableTensor Scale(float value) {
  EditableTensor tensor{DType::kF32, {}, std::vector<std::byte>(sizeof(float))};
  std::memcpy(tensor.bytes.data(), &value, sizeof(value));
  return tensor;
}

class KvScalesTest : public testing::Test {
 protected:
  KvScalesTest() : checkpoint_(TestData("gemma4-dense")) {
    for (const auto& [name, tensor] : checkpoint_.tensors) {
      const size_t at = name.find("layers.0.input_layernorm");
      if (at != std::string::npos) prefix_ = name.substr(0, at);
    }
  }

  void Set(int layer, const std::string& name, float value) {
    checkpoint_.tensors[fmt::format("{}layers.{}.self_attn.{}", prefix_, layer, name)] =
        Scale(value);
  }
  LoadedVerifier Load() {
    checkpoint_.Write(folder_.path());
    return LoadVerifier(*backend_, folder_.path(), {DType::kBF16});
  }

  TempDir folder_;
  std::unique_ptr<Backend> backend_ = MakeBackend({"cpu", 1});
  CheckpointEditor checkpoint_;
  std::string prefix_;
};

TEST_F(KvScalesTest, AreOneWithoutTensors) {
  const LoadedVerifier verifier = Load();
  EXPECT_EQ(verifier.model->num_kv_scales(), 0);
  for (const KvLayer& layer : verifier.model->MakeKvLayers(1, 1, DType::kF8E4M3)) {
    EXPECT_EQ(layer.k_scale, 1.0f);
    EXPECT_EQ(layer.v_scale, 1.0f);
  }
}

TEST_F(KvScalesTest, ComeFromModelOptsAndCompressedTensorsNames) {
  Set(0, "k_proj.k_scale", 0.125f);
  Set(0, "v_proj.v_scale", 0.5f);
  Set(1, "k_scale", 0.03f);
  Set(1, "v_scale", 2.0f);
  Set(2, "k_proj.k_scale", 0.25f);
  const LoadedVerifier verifier = Load();
  EXPECT_EQ(verifier.model->num_kv_scales(), 3);
  const KvLayers layers = verifier.model->MakeKvLayers(1, 1, DType::kF8E4M3);
  const std::vector<std::pair<float, float>> expected = {
      {0.125f, 0.5f}, {0.03f, 2.0f}, {0.25f, 1.0f}, {1.0f, 1.0f}};
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(layers[i].k_scale, expected[i].first) << i;
    EXPECT_EQ(layers[i].v_scale, expected[i].second) << i;
  }
  for (const KvLayer& layer : verifier.model->MakeKvLayers(1, 1, DType::kBF16)) {
    EXPECT_EQ(layer.k_scale, 1.0f) << "BF16 KV is stored as it is";
    EXPECT_EQ(layer.v_scale, 1.0f);
  }
}

TEST_F(KvScalesTest, MustBePositiveNumbers) {
  for (const float value : {0.0f, -1.0f, std::nanf(""), HUGE_VALF}) {
    Set(1, "v_proj.v_scale", value);
    try {
      Load();
      ADD_FAILURE() << value;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kDataLoss);
      EXPECT_NE(std::string(error.what()).find("layers.1.self_attn.v_proj.v_scale"),
                std::string::npos)
          << error.what();
    }
  }
}

}  // namespace
}  // namespace talon::test

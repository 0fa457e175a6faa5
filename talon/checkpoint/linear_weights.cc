#include "talon/checkpoint/linear_weights.h"

#include <array>
#include <utility>
#include <vector>

#include "talon/base/error.h"
#include "talon/checkpoint/linear_scales.h"

namespace talon {
namespace {

using Owners = std::vector<std::shared_ptr<const void>>;

struct UnsupportedSuffix {
  const char* suffix;
  const char* what;
};

// Tensors that would change the result if they were overlooked.
constexpr std::array<UnsupportedSuffix, 8> kUnsupportedSuffixes = {{
    {"bias", "linears with a bias are not supported"},
    {"qweight", "GPTQ and AWQ int4 weights are not supported"},
    {"weight_zero_point", "asymmetric int weights are not supported"},
    {"weight_g_idx", "GPTQ int4 weights are not supported"},
    {"weight_scale_inv", "FP8 weights with a scale per block are not supported"},
    {"pre_quant_scale",
     "AWQ's pre_quant_scale is not supported; export with it folded into a norm"},
    {"svdquant_lora_a", "SVDQuant is not supported"},
    {"weight.absmax", "bitsandbytes weights are not supported"},
}};

class Binder {
 public:
  Binder(const TensorStore& store, const std::string& module, int64_t out_features,
         int64_t in_features)
      : store_(store), module_(module) {
    linear_.name = module;
    linear_.out_features = out_features;
    linear_.in_features = in_features;
  }

  HostLinear Bind() {
    for (const UnsupportedSuffix& item : kUnsupportedSuffixes) {
      if (const TensorView* tensor = Find(item.suffix)) {
        Throw(ErrorCode::kUnsupported, "{}: {}", tensor->Where(), item.what);
      }
    }
    if (Find("weight_packed") != nullptr) {
      BindCompressedNvfp4();
    } else {
      BindWeight(Get("weight"));
    }
    linear_.owner = std::make_shared<const Owners>(std::move(owners_));
    return std::move(linear_);
  }

 private:
  const TensorView* Find(const std::string& suffix) const {
    return store_.Find(module_ + "." + suffix);
  }
  const TensorView& Get(const std::string& suffix) const {
    return store_.Get(module_ + "." + suffix);
  }
  const std::byte* Keep(const TensorView& tensor) {
    owners_.push_back(tensor.owner);
    return tensor.bytes.data();
  }

  void BindWeight(const TensorView& weight) {
    switch (weight.dtype) {
      case DType::kBF16:
        return BindBf16(weight);
      case DType::kF8E4M3:
        return BindF8(weight);
      case DType::kU8:
        return BindModelOptNvfp4(weight);
      case DType::kF16:
      case DType::kF32:
        Throw(ErrorCode::kUnsupported,
              "{}: {} weights are not supported; save the checkpoint in bfloat16", weight.Where(),
              Name(weight.dtype));
      default:
        Throw(ErrorCode::kUnsupported,
              "{}: {} weights are not supported; expected BF16, F8_E4M3 or NVFP4 packed as U8",
              weight.Where(), Name(weight.dtype));
    }
  }

  void BindBf16(const TensorView& weight) {
    CheckTensor(weight, DType::kBF16, {linear_.out_features, linear_.in_features});
    if (const TensorView* scale = Find("weight_scale")) {
      Throw(ErrorCode::kUnsupported,
            "{}: scales of a BF16 weight (simulated quantization) are not supported; export the "
            "quantized checkpoint",
            scale->Where());
    }
    linear_.format = LinearFormat::kBF16;
    linear_.data = Keep(weight);
  }

  void BindF8(const TensorView& weight) {
    CheckTensor(weight, DType::kF8E4M3, {linear_.out_features, linear_.in_features});
    linear_.format = LinearFormat::kF8;
    linear_.data = Keep(weight);
    const TensorView& scale = Get("weight_scale");
    if (scale.num_elements() == 1 && scale.shape.size() <= 1) {
      linear_.weight_scale = ReadScalarScale(scale);
    } else {
      const auto row_scales = ReadRowScales(scale, linear_.out_features);
      linear_.row_scales = row_scales->data();
      owners_.push_back(row_scales);
    }
    BindInputScale();
  }

  void BindModelOptNvfp4(const TensorView& weight) {
    if (Find("weight_scale_2") == nullptr && Find("weight_scale") != nullptr) {
      CheckBlockScales(Get("weight_scale"), linear_.out_features, linear_.in_features);
    }
    BindNvfp4(weight, ReadScalarScale(Get("weight_scale_2")));
    BindInputScale();
  }

  void BindCompressedNvfp4() {
    const TensorView& packed = Get("weight_packed");
    if (packed.dtype == DType::kI32) {
      Throw(
          ErrorCode::kUnsupported,
          "{}: int4 and int8 weights (pack-quantized) are not supported; use the BF16 or the NVFP4 "
          "checkpoint",
          packed.Where());
    }
    if (const TensorView* plain = Find("weight")) {
      Throw(ErrorCode::kDataLoss, "{}: stands beside '{}.weight_packed'; expected one of them",
            plain->Where(), module_);
    }
    const TensorView* global_scale = Find("weight_global_scale");
    if (global_scale == nullptr) {
      CheckBlockScales(Get("weight_scale"), linear_.out_features, linear_.in_features);
      global_scale = &Get("weight_global_scale");
    }
    BindNvfp4(packed, ReadReciprocalScale(*global_scale));
    if (const TensorView* input = Find("input_global_scale")) {
      linear_.input_scale = ReadReciprocalScale(*input);
    }
  }

  void BindNvfp4(const TensorView& weight, float weight_scale) {
    if (linear_.in_features % 16 != 0) {
      Throw(ErrorCode::kUnsupported, "{}: NVFP4 needs a multiple of 16 columns, found {}",
            weight.Where(), linear_.in_features);
    }
    CheckTensor(weight, DType::kU8, {linear_.out_features, linear_.in_features / 2});
    const TensorView& block_scales = Get("weight_scale");
    CheckBlockScales(block_scales, linear_.out_features, linear_.in_features);
    linear_.format = LinearFormat::kNvfp4;
    linear_.data = Keep(weight);
    linear_.block_scales = reinterpret_cast<const uint8_t*>(Keep(block_scales));
    linear_.weight_scale = weight_scale;
  }

  void BindInputScale() {
    if (const TensorView* input = Find("input_scale")) {
      linear_.input_scale = ReadPositiveScale(*input);
    }
  }

  const TensorStore& store_;
  const std::string& module_;
  HostLinear linear_;
  Owners owners_;
};

}  // namespace

HostLinear BindLinear(const TensorStore& store, const std::string& module, int64_t out_features,
                      int64_t in_features) {
  return Binder(store, module, out_features, in_features).Bind();
}

}  // namespace talon

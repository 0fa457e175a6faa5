#include "talon/quantize/modelopt_state.h"

#include <fmt/format.h>

#include <array>
#include <string_view>

#include "talon/checkpoint/torch_archive.h"
#include "talon/quantize/modelopt_version.h"

namespace talon {
namespace {

// What ModelOpt's default configs switch off after their enabling entries, by quantizer name and
// class.
constexpr std::array<std::string_view, 19> kDisabledNames = {"*block_sparse_moe.gate*",
                                                             "*linear_attn.conv1d*",
                                                             "*self_attention.conv1d*",
                                                             "*linear_attn.in_proj_a*",
                                                             "*linear_attn.in_proj_b*",
                                                             "*lm_head*",
                                                             "*mixer.conv1d*",
                                                             "*mlp.gate.*",
                                                             "*mlp.shared_expert_gate.*",
                                                             "*output_layer*",
                                                             "*proj_out.*",
                                                             "*router*",
                                                             "mtp.*",
                                                             "output.*",
                                                             "*embed_vision*",
                                                             "*vision_tower*",
                                                             "*visual*",
                                                             "*vision_model*",
                                                             "*multi_modal_projector*"};
constexpr std::array<std::string_view, 5> kDisabledClasses = {
    "nn.BatchNorm1d", "nn.BatchNorm2d", "nn.BatchNorm3d", "nn.LeakyReLU", "nn.Embedding"};

enum class Role : uint8_t { kInput, kWeight, kOutput };
constexpr std::array<Role, 3> kRoles = {Role::kInput, Role::kWeight, Role::kOutput};

std::string_view Suffix(Role role) {
  switch (role) {
    case Role::kInput:
      return ".input_quantizer";
    case Role::kWeight:
      return ".weight_quantizer";
    case Role::kOutput:
      break;
  }
  return ".output_quantizer";
}

class StateWriter {
 public:
  explicit StateWriter(const Recipe& recipe) : recipe_(recipe) {}

  std::string Write(const std::vector<QuantizerModule>& modules) {
    pickle_.BeginDict();
    pickle_.String("modelopt_state_dict");
    pickle_.BeginList();
    Mode("quantize", modules, /*calibrated=*/false);
    Mode("max_calibrate", modules, /*calibrated=*/true);
    pickle_.EndList();
    Text("modelopt_version", kModelOptVersion);
    pickle_.EndDict();
    return pickle_.Finish();
  }

 private:
  // One (name, {config, metadata}) entry of modelopt_state_dict.
  void Mode(std::string_view name, const std::vector<QuantizerModule>& modules, bool calibrated) {
    pickle_.BeginTuple();
    pickle_.String(name);
    pickle_.BeginDict();
    pickle_.String("config");
    if (calibrated) {
      CalibrationConfig();
    } else {
      QuantizeConfig();
    }
    pickle_.String("metadata");
    pickle_.BeginDict();
    pickle_.String("quantizer_state");
    pickle_.BeginDict();
    for (const QuantizerModule& module : modules) {
      for (const Role role : kRoles) {
        pickle_.String(fmt::format("{}{}", module.name, Suffix(role)));
        QuantizerState(module, role, calibrated);
      }
    }
    pickle_.EndDict();
    if (calibrated) {
      pickle_.String("shared_quant_states");
      pickle_.BeginDict();
      Flag("weight_global_amax", true);
      pickle_.EndDict();
    }
    pickle_.EndDict();
    pickle_.EndDict();
    pickle_.EndTuple();
  }

  void QuantizeConfig() {
    pickle_.BeginDict();
    pickle_.String("quant_cfg");
    pickle_.BeginList();
    DisablingEntry("*", "");
    EnablingEntry("*weight_quantizer");
    if (recipe_.quantize_activations) EnablingEntry("*input_quantizer");
    for (const std::string_view name : kDisabledNames) {
      if (name != "*lm_head*" || !recipe_.quantize_lm_head) DisablingEntry(name, "");
    }
    for (const std::string_view parent : kDisabledClasses) DisablingEntry("*", parent);
    pickle_.EndList();
    Text("algorithm", "max");
    Null("effective_bits");
    pickle_.EndDict();
  }

  void DisablingEntry(std::string_view quantizer, std::string_view parent_class) {
    pickle_.BeginDict();
    Text("quantizer_name", quantizer);
    if (parent_class.empty()) {
      Null("parent_class");
    } else {
      Text("parent_class", parent_class);
    }
    Null("cfg");
    Flag("enable", false);
    pickle_.EndDict();
  }

  void EnablingEntry(std::string_view quantizer) {
    pickle_.BeginDict();
    Text("quantizer_name", quantizer);
    Null("parent_class");
    pickle_.String("cfg");
    pickle_.BeginDict();
    Flag("enable", true);
    Pair("num_bits", 2, 1);
    Real("effective_bits", 4.5);
    Null("axis");
    Flag("fake_quant", true);
    for (const char* key : {"unsigned", "narrow_range", "learn_amax"}) Flag(key, false);
    Text("type", "static");
    BlockSizes("block_sizes");
    Null("bias");
    Text("trt_high_precision_dtype", "Float");
    Text("calibrator", "max");
    Flag("rotate", false);
    Flag("pass_through_bwd", true);
    Null("backend");
    Null("backend_extra_args");
    Flag("use_constant_amax", false);
    Null("constant_amax");
    pickle_.EndDict();
    Flag("enable", true);
    pickle_.EndDict();
  }

  void CalibrationConfig() {
    pickle_.BeginDict();
    Text("method", "max");
    Null("moe_calib_experts_ratio");
    pickle_.String("layerwise");
    pickle_.BeginDict();
    Flag("enable", false);
    Flag("get_qdq_activations_from_prev_layer", false);
    Null("checkpoint_dir");
    Whole("save_every", 1);
    Flag("calib_mutates_weights", true);
    pickle_.EndDict();
    Null("shared_states");
    Flag("distributed_sync", true);
    Flag("sync_expert_weight_amax", false);
    Flag("skip_forward_without_activation_calib", false);
    pickle_.EndDict();
  }

  void QuantizerState(const QuantizerModule& module, Role role, bool calibrated) {
    // The wildcards configure a quantizer before a later entry switches it off.
    const bool configured =
        role == Role::kWeight || (role == Role::kInput && recipe_.quantize_activations);
    const bool enabled = configured && module.quantized;
    pickle_.BeginDict();
    if (configured) {
      Pair("_num_bits", 2, 1);
      BlockSizes("_block_sizes");
      Real("_effective_bits", 4.5);
    } else {
      Whole("_num_bits", 8);
      Null("_block_sizes");
      Null("_effective_bits");
    }
    for (const char* key : {"_axis", "_bias", "_constant_amax", "backend"}) Null(key);
    for (const char* key : {"_dequantize", "_dynamic", "_if_calib", "_learn_amax", "_narrow_range",
                            "_rotate", "_unsigned", "_use_constant_amax"}) {
      Flag(key, false);
    }
    for (const char* key :
         {"_enable_pre_quant_scale", "_fake_quant", "_if_quant", "_pass_through_bwd"}) {
      Flag(key, true);
    }
    Flag("_disabled", !enabled);
    Text("_trt_high_precision_dtype", "Float");
    pickle_.String("backend_extra_args");
    pickle_.BeginDict();
    pickle_.EndDict();
    InputDtype(module, role, calibrated && !enabled);
    Buffers(calibrated && enabled);
    pickle_.EndDict();
  }

  // A switched-off quantizer remembers the dtype that passed through it; ids pass into an
  // embedding.
  void InputDtype(const QuantizerModule& module, Role role, bool saw_data) {
    pickle_.String("_input_dtype");
    if (saw_data && !(module.is_embedding && role == Role::kInput)) {
      pickle_.Global("torch", "bfloat16");
    } else {
      pickle_.None();
    }
  }

  // The buffers to expect in the model's state dict: a scalar amax once calibrated.
  void Buffers(bool has_amax) {
    pickle_.String("_pytorch_state_metadata");
    pickle_.BeginDict();
    pickle_.String("params");
    pickle_.BeginDict();
    pickle_.EndDict();
    pickle_.String("buffers");
    pickle_.BeginDict();
    if (has_amax) {
      pickle_.String("_amax");
      pickle_.BeginDict();
      pickle_.String("shape");
      pickle_.EmptyTorchSize();
      pickle_.String("dtype");
      pickle_.Global("torch", "bfloat16");
      pickle_.EndDict();
    }
    pickle_.EndDict();
    pickle_.EndDict();
  }

  void BlockSizes(std::string_view key) {
    pickle_.String(key);
    pickle_.BeginDict();
    pickle_.Int(-1);
    pickle_.Int(16);
    Text("type", "dynamic");
    Pair("scale_bits", 4, 3);
    pickle_.EndDict();
  }

  void Null(std::string_view key) {
    pickle_.String(key);
    pickle_.None();
  }
  void Flag(std::string_view key, bool value) {
    pickle_.String(key);
    pickle_.Bool(value);
  }
  void Whole(std::string_view key, int32_t value) {
    pickle_.String(key);
    pickle_.Int(value);
  }
  void Real(std::string_view key, double value) {
    pickle_.String(key);
    pickle_.Float(value);
  }
  void Text(std::string_view key, std::string_view value) {
    pickle_.String(key);
    pickle_.String(value);
  }
  void Pair(std::string_view key, int32_t first, int32_t second) {
    pickle_.String(key);
    pickle_.BeginTuple();
    pickle_.Int(first);
    pickle_.Int(second);
    pickle_.EndTuple();
  }

  const Recipe& recipe_;
  PickleWriter pickle_;
};

}  // namespace

std::string ModelOptState(const Recipe& recipe, const std::vector<QuantizerModule>& modules) {
  return TorchArchive("modelopt_state", StateWriter(recipe).Write(modules));
}

}  // namespace talon

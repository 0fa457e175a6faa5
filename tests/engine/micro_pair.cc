#include "tests/engine/micro_pair.h"

#include <cstring>
#include <fstream>
#include <random>
#include <utility>

#include "talon/base/json.h"
#include "talon/numeric/bf16.h"

namespace talon::test {
namespace {

constexpr int64_t kHidden = 64;
constexpr int64_t kIntermediate = 96;
constexpr int64_t kHeads = 2;
constexpr int64_t kHeadDim = 32;
constexpr int64_t kVocab = 512;
constexpr int64_t kPositions = 512;

Json DrafterConfig() {
  const Json layer = {{"model_type", "llama"},
                      {"hidden_size", kHidden},
                      {"intermediate_size", kIntermediate},
                      {"num_hidden_layers", 1},
                      {"num_attention_heads", kHeads},
                      {"num_key_value_heads", kHeads},
                      {"head_dim", kHeadDim},
                      {"vocab_size", kVocab},
                      {"max_position_embeddings", kPositions},
                      {"rms_norm_eps", 1e-6},
                      {"hidden_act", "silu"},
                      {"rope_parameters", {{"rope_theta", 10000.0}, {"rope_type", "default"}}}};
  return {{"architectures", {"Eagle3Speculator"}},
          {"speculators_model_type", "eagle3"},
          {"draft_vocab_size", kVocab},
          {"norm_before_residual", true},
          {"eagle_aux_hidden_state_layer_ids", {2, 4, 6}},
          {"transformer_layer_config", layer}};
}

std::vector<TensorSpec> DrafterTensors() {
  const int64_t attention = kHeads * kHeadDim;
  const std::string layer = "layers.0.";
  const std::vector<std::pair<std::string, std::vector<int64_t>>> shapes = {
      {"fc.weight", {kHidden, 3 * kHidden}},
      {layer + "self_attn.q_proj.weight", {attention, 2 * kHidden}},
      {layer + "self_attn.k_proj.weight", {attention, 2 * kHidden}},
      {layer + "self_attn.v_proj.weight", {attention, 2 * kHidden}},
      {layer + "self_attn.o_proj.weight", {kHidden, attention}},
      {layer + "mlp.gate_proj.weight", {kIntermediate, kHidden}},
      {layer + "mlp.up_proj.weight", {kIntermediate, kHidden}},
      {layer + "mlp.down_proj.weight", {kHidden, kIntermediate}},
      {layer + "input_layernorm.weight", {kHidden}},
      {layer + "hidden_norm.weight", {kHidden}},
      {layer + "post_attention_layernorm.weight", {kHidden}},
      {"norm.weight", {kHidden}},
      {"lm_head.weight", {kVocab, kHidden}}};
  std::vector<TensorSpec> specs;
  for (const auto& [name, shape] : shapes) specs.push_back({name, DType::kBF16, shape});
  return specs;
}

// Gains of 1; an lm_head that is the verifier's; an fc that mostly passes the last feature on, so
// that drafts resemble the verifier's choices; the rest random.
std::vector<uint16_t> DrafterValues(const TensorSpec& spec, const TensorStore& verifier) {
  int64_t count = 1;
  for (const int64_t size : spec.shape) count *= size;
  std::vector<uint16_t> values(static_cast<size_t>(count), FloatToBf16(1.0f));
  if (spec.shape.size() == 1) return values;
  if (spec.name == "lm_head.weight") {
    for (const auto& [name, tensor] : verifier.tensors()) {
      if (!name.ends_with("embed_tokens.weight")) continue;
      std::memcpy(values.data(), tensor.bytes.data(), values.size() * sizeof(uint16_t));
    }
    return values;
  }
  std::mt19937 random(
      static_cast<uint32_t>(spec.name.size() * 31 + spec.name[10 % spec.name.size()]));
  const bool into_residual = spec.name == "fc.weight" || spec.name.ends_with("down_proj.weight") ||
                             spec.name.ends_with("o_proj.weight");
  std::normal_distribution<float> normal(0.0f, into_residual ? 0.04f : 0.2f);
  for (int64_t i = 0; i < count; ++i) {
    float value = normal(random);
    if (spec.name == "fc.weight" && i % spec.shape[1] == 2 * kHidden + i / spec.shape[1]) {
      value += 1.0f;
    }
    values[static_cast<size_t>(i)] = FloatToBf16(value);
  }
  return values;
}

}  // namespace

MicroPair::MicroPair(std::unique_ptr<Backend> own_backend) : backend(std::move(own_backend)) {
  verifier = LoadVerifier(*backend, TestData("gemma4-dense"), {DType::kBF16});
  std::ofstream(directory.path() / "config.json") << DrafterConfig().dump();
  WriteSafetensors(directory.path() / "model.safetensors", DrafterTensors(), {},
                   [&](const TensorSpec& spec, const AppendBytes& append) {
                     const std::vector<uint16_t> values = DrafterValues(spec, *verifier.store);
                     append(std::as_bytes(std::span(values)));
                   });
  drafter = LoadDrafter(directory.path(), {DType::kBF16}, *verifier.model);
}

std::vector<int32_t> MicroIds(uint32_t seed, int64_t count) {
  std::mt19937 random(seed);
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i) ids.push_back(static_cast<int32_t>(random() % kVocab));
  return ids;
}

GenerationRequest MicroRequest(std::vector<int32_t> prompt_ids, int64_t max_tokens,
                               double temperature, uint64_t seed) {
  GenerationRequest request;
  request.prompt_ids = std::move(prompt_ids);
  request.max_tokens = max_tokens;
  request.sampling.temperature = temperature;
  request.sampling.seed = seed;
  return request;
}

std::vector<GenerationRequest> MixedRequests(uint32_t seed, int count) {
  std::mt19937 random(seed);
  const std::vector<int32_t> common = MicroIds(seed, 300);
  std::vector<GenerationRequest> requests;
  for (int i = 0; i < count; ++i) {
    const auto shared = static_cast<int64_t>(i % 3 == 0 ? 0 : random() % 160);
    const auto own = static_cast<int64_t>(1 + random() % 80);
    std::vector<int32_t> prompt(common.begin(), common.begin() + shared);
    const std::vector<int32_t> rest = MicroIds(seed + 1000 + static_cast<uint32_t>(i), own);
    prompt.insert(prompt.end(), rest.begin(), rest.end());
    const double temperature = i % 2 == 0 ? 0.0 : 0.4 + 0.2 * (i % 5);
    const auto max_tokens = static_cast<int64_t>(i % 4 == 3 ? 1 + random() % 32 : 256);
    requests.push_back(MicroRequest(std::move(prompt), max_tokens, temperature,
                                    static_cast<uint64_t>(seed) * 100 + static_cast<uint64_t>(i)));
    if (i % 5 == 4) requests.back().stop_token_ids = {7, 11, 100};
  }
  return requests;
}

std::vector<GenerationResult> Answer(const MicroPair& pair, const EngineOptions& options,
                                     std::vector<GenerationRequest> requests,
                                     EngineCounters* counters) {
  const bool drafts = options.num_speculative_tokens > 0;
  return Answer(*pair.verifier.model, drafts ? pair.drafter.model.get() : nullptr, options,
                std::move(requests), counters);
}

}  // namespace talon::test

#include "talon/quantize/synthetic_drafter.h"

#include <algorithm>
#include <vector>

#include "talon/base/atomic_output.h"
#include "talon/base/error.h"
#include "talon/base/progress.h"
#include "talon/checkpoint/model_config.h"
#include "talon/checkpoint/safetensors.h"
#include "talon/numeric/bf16.h"
#include "talon/quantize/model_layout.h"

namespace talon {
namespace {

constexpr int64_t kChunkElements = int64_t{1} << 24;
constexpr int64_t kTaskElements = int64_t{1} << 16;

// SplitMix64's finalizer: a hash of the element's number, so that threads can start anywhere.
uint64_t Mix(uint64_t value) {
  value += 0x9E3779B97F4A7C15u;
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9u;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EBu;
  return value ^ (value >> 31);
}

// The sum of four uniform values, scaled to a standard deviation of 0.02.
uint16_t RandomWeight(uint64_t bits) {
  const auto sum = static_cast<int64_t>((bits & 0xFFFF) + ((bits >> 16) & 0xFFFF) +
                                        ((bits >> 32) & 0xFFFF) + (bits >> 48));
  constexpr float kDeviation = 0.02f / 37837.0f;  // four times 65536^2 / 12, square root
  return FloatToBf16(static_cast<float>(sum - 2 * 65535) * kDeviation);
}

class SyntheticWriter {
 public:
  SyntheticWriter(const Eagle3Config& config, uint64_t seed, ThreadPool& pool)
      : config_(config), seed_(seed), pool_(pool) {}

  void Produce(const TensorSpec& spec, const AppendBytes& append) {
    if (spec.name == "d2t") {
      std::vector<int64_t> offsets(static_cast<size_t>(config_.draft_vocab_size));
      for (int64_t k = 0; k < config_.draft_vocab_size; ++k) {
        offsets[static_cast<size_t>(k)] = TargetId(k) - k;
      }
      append(std::as_bytes(std::span(offsets)));
    } else if (spec.name == "t2d") {
      std::vector<uint8_t> mask(static_cast<size_t>(config_.vocab_size), 0);
      for (int64_t k = 0; k < config_.draft_vocab_size; ++k) {
        mask[static_cast<size_t>(TargetId(k))] = 1;
      }
      append(std::as_bytes(std::span(mask)));
    } else if (spec.shape.size() == 1) {
      const std::vector<uint16_t> ones(static_cast<size_t>(spec.shape[0]), FloatToBf16(1.0f));
      append(std::as_bytes(std::span(ones)));
    } else {
      AppendRandom(spec, append);
    }
  }

 private:
  // Draft ids spread evenly over the vocabulary.
  int64_t TargetId(int64_t k) const { return k * config_.vocab_size / config_.draft_vocab_size; }

  void AppendRandom(const TensorSpec& spec, const AppendBytes& append) {
    uint64_t stream = Mix(seed_);
    for (const char c : spec.name) stream = Mix(stream ^ static_cast<uint8_t>(c));
    const int64_t total = spec.shape[0] * spec.shape[1];
    std::vector<uint16_t> chunk(static_cast<size_t>(std::min(kChunkElements, total)));
    for (int64_t begin = 0; begin < total; begin += kChunkElements) {
      const int64_t count = std::min(kChunkElements, total - begin);
      pool_.Run((count + kTaskElements - 1) / kTaskElements, [&](int64_t task) {
        const int64_t end = std::min(count, (task + 1) * kTaskElements);
        for (int64_t i = task * kTaskElements; i < end; ++i) {
          chunk[static_cast<size_t>(i)] =
              RandomWeight(Mix(stream ^ static_cast<uint64_t>(begin + i)));
        }
      });
      append(std::as_bytes(std::span(chunk).first(static_cast<size_t>(count))));
    }
  }

  const Eagle3Config& config_;
  uint64_t seed_;
  ThreadPool& pool_;
};

struct Shape {
  int64_t hidden, intermediate, heads, kv_heads, head_dim, vocab, draft_vocab, positions;
  std::vector<int64_t> aux_layers;
  const char* verifier;
};

Shape FindShape(std::string_view name) {
  if (name == "31b") {
    return {5376, 21504, 32, 16, 256, 262144, 32000, 262144, {2, 30, 57}, "google/gemma-4-31B-it"};
  }
  if (name == "tiny") return {384, 1536, 6, 2, 64, 8192, 4096, 2048, {2, 4, 5}, "../verifier"};
  Throw(ErrorCode::kInvalidArgument, "--shape {}: unknown; give 31b or tiny", name);
}

}  // namespace

Json SyntheticDrafterConfig(std::string_view shape_name) {
  const Shape shape = FindShape(shape_name);
  Json layer = {{"model_type", "llama"},
                {"hidden_size", shape.hidden},
                {"intermediate_size", shape.intermediate},
                {"num_hidden_layers", 1},
                {"num_attention_heads", shape.heads},
                {"num_key_value_heads", shape.kv_heads},
                {"head_dim", shape.head_dim},
                {"vocab_size", shape.vocab},
                {"max_position_embeddings", shape.positions},
                {"rms_norm_eps", 1e-6},
                {"hidden_act", "silu"},
                {"attention_bias", false},
                {"mlp_bias", false},
                {"rope_parameters", {{"rope_theta", 10000.0}, {"rope_type", "default"}}}};
  Json proposal = {{"proposal_type", "greedy"},
                   {"speculative_tokens", 3},
                   {"verifier_accept_k", 1},
                   {"accept_tolerance", 0.0}};
  Json config = Json::object();
  config["architectures"] = Json::array({"Eagle3Speculator"});
  config["speculators_model_type"] = "eagle3";
  config["speculators_version"] = "0.5.0";
  config["dtype"] = "bfloat16";
  config["draft_vocab_size"] = shape.draft_vocab;
  config["norm_before_residual"] = true;
  config["norm_before_fc"] = false;
  config["eagle_aux_hidden_state_layer_ids"] = shape.aux_layers;
  config["target_hidden_size"] = nullptr;
  config["tie_word_embeddings"] = false;
  config["transformer_layer_config"] = std::move(layer);
  config["speculators_config"] = {{"algorithm", "eagle3"},
                                  {"default_proposal_method", "greedy"},
                                  {"proposal_methods", Json::array({std::move(proposal)})},
                                  {"verifier", {{"name_or_path", shape.verifier}}}};
  return config;
}

void WriteSyntheticDrafter(const Json& config, uint64_t seed, const std::filesystem::path& output,
                           ThreadPool& pool) {
  const Eagle3Config parsed = ParseEagle3Config(config, "synthetic config");
  std::vector<TensorSpec> specs;
  for (const auto& [name, tensor] : DrafterLayout(parsed).tensors) {
    DType dtype = DType::kBF16;
    if (name == "d2t") dtype = DType::kI64;
    if (name == "t2d") dtype = DType::kBool;
    specs.push_back({name, dtype, tensor.shape});
  }
  AtomicDirectory directory(output);
  WriteFileAtomically(directory.path() / "config.json", config.dump(2) + "\n");
  SyntheticWriter writer(parsed, seed, pool);
  Progress progress("random checkpoint", static_cast<int64_t>(specs.size()), "tensors");
  WriteSafetensors(directory.path() / "model.safetensors", specs, {{"format", "pt"}},
                   [&](const TensorSpec& spec, const AppendBytes& append) {
                     writer.Produce(spec, append);
                     progress.Advance();
                   });
  directory.Commit();
}

}  // namespace talon

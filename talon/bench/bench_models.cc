#include "talon/bench/bench_models.h"

#include <algorithm>

namespace talon {
namespace {

const ModelOptions kOptions = {DType::kBF16, LinearNumerics::kWeightOnly};

BenchDrafter MakeDrafter(Backend& backend, const BenchShape& shape, const GemmaModel& verifier,
                         const std::string& name, LinearFormat layers, LinearFormat head) {
  RandomSource source(backend, 1000, [=](const std::string& module) {
    return module == "lm_head" ? head : layers;
  });
  BenchDrafter drafter;
  drafter.name = name;
  drafter.model = std::make_unique<Eagle3Drafter>(shape.drafter, source, kOptions, verifier);
  drafter.first_pass_bytes = source.linear_bytes();
  drafter.step_bytes = source.linear_bytes() - LinearBytes(layers, drafter.model->hidden_size(),
                                                           drafter.model->feature_size());
  return drafter;
}

}  // namespace

BenchModels MakeBenchModels(Backend& backend, const BenchShape& shape) {
  BenchModels models;
  // The head is the embedding, which stays BF16.
  RandomSource source(backend, 1, [](const std::string& module) {
    return module.find("embed_tokens") != std::string::npos ? LinearFormat::kBF16
                                                            : LinearFormat::kNvfp4;
  });
  models.verifier = std::make_unique<GemmaModel>(backend, shape.verifier, source, kOptions);
  models.verifier_bytes = source.linear_bytes();
  const auto add = [&](const std::string& name, LinearFormat layers, LinearFormat head) {
    models.drafters.push_back(MakeDrafter(backend, shape, *models.verifier, name, layers, head));
  };
  add("BF16", LinearFormat::kBF16, LinearFormat::kBF16);
  add("NVFP4", LinearFormat::kNvfp4, LinearFormat::kBF16);
  add("NVFP4 with lm_head", LinearFormat::kNvfp4, LinearFormat::kNvfp4);
  return models;
}

int64_t KvTokenBytes(const AttentionConfig& attention) {
  return attention.num_kv_heads * attention.head_dim * 2 * SizeOf(DType::kBF16);
}

int64_t KvReadBytes(const GemmaConfig& config, int64_t context) {
  int64_t bytes = 0;
  for (int64_t i = 0; i < config.num_layers(); ++i) {
    const bool full = config.layer_types[static_cast<size_t>(i)] == AttentionKind::kFull;
    const int64_t visible = full ? context : std::min(context, config.sliding_window);
    bytes += visible * KvTokenBytes(config.attention(i));
  }
  return bytes;
}

}  // namespace talon

#include "apps/talon/serve_models.h"

#include <algorithm>

#include "talon/base/error.h"
#include "talon/checkpoint/hub.h"
#include "talon/checkpoint/model_kind.h"
#include "talon/checkpoint/quantization_config.h"
#include "talon/engine/kv_budget.h"

namespace talon {
namespace {

// Which models to open. A drafter given alone names its verifier.
struct ModelNames {
  std::string verifier;
  std::string drafter;  // empty: none
  bool drafter_alone = false;
  SpeculativeConfig speculation;
};

std::string VerifierOf(const std::filesystem::path& drafter) {
  const Eagle3Config config =
      ParseEagle3Config(ReadJsonFile(drafter / "config.json"), (drafter / "config.json").string());
  if (config.verifier_name_or_path.empty()) {
    Throw(ErrorCode::kInvalidArgument,
          "{} is a drafter and names no verifier; give the verifier, and the drafter in "
          "--speculative-config",
          drafter.string());
  }
  const std::filesystem::path beside = drafter / config.verifier_name_or_path;
  return std::filesystem::exists(beside) ? beside.lexically_normal().string()
                                         : config.verifier_name_or_path;
}

ModelNames FindModels(const ServeFlags& flags) {
  ModelNames names;
  names.verifier = flags.session.verifier;
  if (!flags.speculative_config.empty()) {
    names.speculation = ParseSpeculativeConfig(flags.speculative_config);
    names.drafter = names.speculation.model;
    for (const std::string& key : names.speculation.without_effect) {
      Log("--speculative-config: {} has no effect", key);
    }
  } else if (DetectModelKind(ResolveModel(names.verifier)) == ModelKind::kEagle3Drafter) {
    names.drafter = names.verifier;
    names.drafter_alone = true;
    names.verifier = VerifierOf(ResolveModel(names.drafter));
  }
  return names;
}

int64_t TensorBytes(const TensorStore& store) {
  int64_t bytes = 0;
  for (const auto& [name, tensor] : store.tensors()) bytes += std::ssize(tensor.bytes);
  return bytes;
}

// The type of the verifier's KV where --kv-cache-dtype leaves it open: as the checkpoint declares,
// like vLLM.
void ChooseKvDType(const ServeFlags& flags, ServedPair& loaded) {
  if (ParseKvCacheDType(flags.kv_cache_dtype)) return;
  const auto quantization = ReadQuantizationConfig(loaded.session.verifier.directory);
  if (!quantization || quantization->kv_cache.empty()) return;
  if (quantization->kv_cache == "FP8") {
    loaded.options.kv_dtype = DType::kF8E4M3;
  } else {
    Log("the checkpoint asks for a KV cache of type {}, which Talon does not have; it is {}",
        quantization->kv_cache, Name(loaded.options.kv_dtype));
  }
}

std::string DescribeKvTypes(const ServedPair& loaded) {
  const GemmaModel& verifier = *loaded.session.verifier.model;
  const DType dtype = loaded.options.kv_dtype;
  const DType drafter_dtype = loaded.options.drafter_kv_dtype.value_or(dtype);
  const auto fp8 = [](const std::string& scales) { return "FP8 E4M3, " + scales; };
  std::string text = fmt::format("KV cache: verifier {}", Name(dtype));
  if (dtype == DType::kF8E4M3) {
    const int64_t scaled = verifier.num_kv_scales();
    text = "KV cache: verifier " +
           fp8(scaled == 0 ? "scales of 1.0"
                           : fmt::format("scales of the checkpoint in {} of {} layers, else 1.0",
                                         scaled, verifier.config().num_layers()));
  }
  if (loaded.drafter.model == nullptr) return text;
  if (drafter_dtype != DType::kF8E4M3) {
    return text + fmt::format("; drafter {}", Name(drafter_dtype));
  }
  return text + "; drafter " +
         fp8(loaded.drafter.model->has_kv_scales() ? "scales of the checkpoint" : "scales of 1.0");
}

// Bytes for the KV cache, the context that they hold, and the pages they buy.
void SizeKvCache(const ServeFlags& flags, ServedPair& loaded) {
  const GemmaModel& verifier = *loaded.session.verifier.model;
  const Drafter* drafter = loaded.drafter.model.get();
  const bool fit_length = loaded.options.max_model_len == 0;
  EngineOptions options = ResolveEngineOptions(verifier.config(), drafter, loaded.options);
  if (options.kv_cache_bytes == 0) {
    int64_t weight_bytes = TensorBytes(*loaded.session.verifier.store);
    if (drafter != nullptr) weight_bytes += TensorBytes(*loaded.drafter.store);
    const KvBudget budget = MakeKvBudget(
        loaded.session.backend->Memory(), flags.gpu_memory_utilization, weight_bytes,
        StepScratchBytes(verifier.config(), drafter, loaded.session.options.dtype, options));
    for (const std::string& line : FormatKvBudget(budget)) Log("{}", line);
    options.kv_cache_bytes = budget.kv_bytes();
  }
  if (fit_length) {
    options.max_model_len =
        FitMaxModelLen(verifier.config(), drafter, options, options.kv_cache_bytes);
    if (options.max_model_len < verifier.config().max_position_embeddings) {
      Log("the memory holds a context of {} tokens, of the model's {}", options.max_model_len,
          verifier.config().max_position_embeddings);
    }
  }
  for (const std::string& line : FormatKvPlan(PlanKv(verifier.config(), drafter, options))) {
    Log("{}", line);
  }
  loaded.options = options;
}

// The number of drafts that flags and the drafter's config give, and what it is called. A drafter
// alone brings its own number; a config that names none leaves it to the policy.
std::string ChooseNumberOfDrafts(const ModelNames& names, LoadedDrafter& drafter,
                                 EngineOptions& options) {
  constexpr int64_t kMostAutoDrafts = 7;
  const SpeculativeConfig& config = names.speculation;
  const int64_t own = drafter.model->default_num_speculative_tokens();
  options.drafts_by_batch_size = config.drafts_by_batch_size;
  if (!config.drafts_by_batch_size.empty()) {
    const auto most =
        std::max_element(config.drafts_by_batch_size.begin(), config.drafts_by_batch_size.end());
    options.num_speculative_tokens = std::max<int64_t>(*most, 1);
    return "drafts a round by batch size";
  }
  if (config.num_speculative_tokens || (names.drafter_alone && own > 0)) {
    options.num_speculative_tokens = config.num_speculative_tokens.value_or(own);
    return fmt::format("{} drafts a round", options.num_speculative_tokens);
  }
  options.auto_drafts = true;
  options.num_speculative_tokens = std::max(own, kMostAutoDrafts);
  return fmt::format("0 to {} drafts a round, by expected tokens per second",
                     options.num_speculative_tokens);
}

void OpenDrafter(const ModelNames& names, ServedPair& loaded, StartupLog& log) {
  loaded.drafter = loaded.session.OpenDrafter(names.drafter);
  const std::string drafts = ChooseNumberOfDrafts(names, loaded.drafter, loaded.options);
  loaded.options.drafter_kv_dtype = names.speculation.kv_cache_dtype;
  log.Phase("drafter {}: {}, {}", names.drafter, loaded.drafter.model->format_summary(), drafts);
}

}  // namespace

ServedPair LoadServedPair(const ServeFlags& flags, StartupLog& log) {
  const ModelNames names = FindModels(flags);
  ServedPair loaded;
  SessionFlags session_flags = flags.session;
  session_flags.verifier = names.verifier;
  loaded.session = OpenSession(session_flags);
  loaded.options = ToEngineOptions(flags);
  log.Phase("verifier {}: {}", names.verifier, loaded.session.verifier.model->format_summary());
  if (!names.drafter.empty()) OpenDrafter(names, loaded, log);
  ChooseKvDType(flags, loaded);
  Log("{}", DescribeKvTypes(loaded));
  SizeKvCache(flags, loaded);
  return loaded;
}

}  // namespace talon

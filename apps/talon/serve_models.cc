#include "apps/talon/serve_models.h"

#include "talon/base/error.h"
#include "talon/checkpoint/hub.h"
#include "talon/checkpoint/model_kind.h"

namespace talon {
namespace {

// Which models to open. A drafter given alone names its verifier.
struct ModelNames {
  std::string verifier;
  std::string drafter;                            // empty: none
  std::optional<int64_t> num_speculative_tokens;  // none: the drafter's own
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
    const SpeculativeConfig config = ParseSpeculativeConfig(flags.speculative_config);
    names.drafter = config.model;
    names.num_speculative_tokens = config.num_speculative_tokens;
    for (const std::string& key : config.without_effect) {
      Log("--speculative-config: {} has no effect", key);
    }
    if (config.kv_cache_dtype != "auto" && config.kv_cache_dtype != flags.kv_cache_dtype) {
      Throw(ErrorCode::kUnsupported,
            "--speculative-config: kv_cache_dtype is '{}'; the drafter's KV cache has the "
            "verifier's type, '{}'",
            config.kv_cache_dtype, flags.kv_cache_dtype);
    }
  } else if (DetectModelKind(ResolveModel(names.verifier)) == ModelKind::kEagle3Drafter) {
    names.drafter = names.verifier;
    names.verifier = VerifierOf(ResolveModel(names.drafter));
  }
  return names;
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
  if (names.drafter.empty()) return loaded;
  loaded.drafter = loaded.session.OpenDrafter(names.drafter);
  const int64_t own = loaded.drafter.model->default_num_speculative_tokens();
  loaded.options.num_speculative_tokens = names.num_speculative_tokens.value_or(own);
  if (loaded.options.num_speculative_tokens == 0) {
    Throw(ErrorCode::kInvalidArgument,
          "the drafter's config names no number of drafts; give num_speculative_tokens in "
          "--speculative-config");
  }
  log.Phase("drafter {}: {}, {} drafts a round", names.drafter,
            loaded.drafter.model->format_summary(), loaded.options.num_speculative_tokens);
  return loaded;
}

}  // namespace talon

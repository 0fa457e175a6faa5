// `talon serve`: listens first, loads the models, answers until a signal, drains.
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <ctime>
#include <mutex>

#include "apps/talon/commands.h"
#include "apps/talon/interrupt.h"
#include "apps/talon/serve_flags.h"
#include "talon/base/error.h"
#include "talon/checkpoint/hub.h"
#include "talon/checkpoint/identity.h"
#include "talon/checkpoint/model_kind.h"
#include "talon/serve/router.h"

namespace talon {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kStatsPeriod = std::chrono::seconds(10);  // vLLM's
constexpr auto kLastReplies = std::chrono::seconds(5);

template <typename... Args>
void Log(fmt::format_string<Args...> format, Args&&... args) {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  char time[32];
  std::strftime(time, sizeof(time), "%m-%d %H:%M:%S", &local);
  fmt::print(stderr, "INFO {} {}\n", time, fmt::format(format, std::forward<Args>(args)...));
}

// Prints how long each phase of the start took.
class StartupLog {
 public:
  template <typename... Args>
  void Phase(fmt::format_string<Args...> format, Args&&... args) {
    const Clock::time_point now = Clock::now();
    Log("{} ({:.2f} s)", fmt::format(format, std::forward<Args>(args)...),
        std::chrono::duration<double>(now - last_).count());
    last_ = now;
  }
  double TotalSeconds() const {
    return std::chrono::duration<double>(Clock::now() - start_).count();
  }

 private:
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_ = start_;
};

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

// Session, drafter and engine options, opened and checked.
struct Loaded {
  Session session;
  LoadedDrafter drafter;
  EngineOptions options;
};

Loaded Load(const ServeFlags& flags, StartupLog& log) {
  const ModelNames names = FindModels(flags);
  Loaded loaded;
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

SamplingDefaults ReadSamplingDefaults(const ServeFlags& flags, const Session& session) {
  if (flags.generation_config == "vllm") return {};
  const GenerationConfig config = flags.generation_config == "auto"
                                      ? session.generation_config
                                      : ReadGenerationConfig(flags.generation_config);
  return {config.temperature, config.top_k, config.top_p};
}

ServedModel Describe(const ServeFlags& flags, const Loaded& loaded, const Engine& engine) {
  const Session& session = loaded.session;
  ServedModel model;
  model.names = flags.served_model_names;
  if (model.names.empty()) model.names.push_back(flags.session.verifier);
  model.root = session.verifier.directory.string();
  model.tokenizer = session.tokenizer.get();
  model.chat_format = session.chat_format;
  model.reasoning = FindReasoningMarkers(*session.tokenizer);
  model.sampling = ReadSamplingDefaults(flags, session);
  model.stop_token_ids = session.StopTokenIds();
  model.vocab_size = static_cast<int32_t>(session.verifier.model->config().vocab_size);
  model.max_model_len = engine.options().max_model_len;
  model.num_speculative_tokens = engine.options().num_speculative_tokens;
  model.spec_metrics = *ParseSpecMetricsLevel(flags.per_request_spec_decode_metrics);
  model.system_fingerprint = fmt::format("talon-{}-{}", kVersion,
                                         CheckpointIdentity(*session.verifier.store).substr(0, 8));
  model.created = std::time(nullptr);
  return model;
}

// Waits for a signal; prints what happened every ten seconds meanwhile.
class Watch {
 public:
  Watch() {
    SetInterruptHandler([this] {
      const std::lock_guard lock(mutex_);
      ended_ = true;
      changed_.notify_all();
    });
  }
  ~Watch() { SetInterruptHandler(nullptr); }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  void Wait(const ServingMetrics& metrics, bool print, bool on_gpu) {
    MetricsTotals before = metrics.Totals();
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, kStatsPeriod, [this] { return ended_; })) {
      const MetricsTotals now = metrics.Totals();
      const double seconds = std::chrono::duration<double>(kStatsPeriod).count();
      for (const std::string& line : FormatStatsLines(before, now, seconds, on_gpu)) {
        if (print) Log("{}", line);
      }
      before = now;
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ended_ = false;
};

std::unique_ptr<Serving> MakeServing(const ServeFlags& flags, const Loaded& loaded,
                                     StartupLog& log) {
  auto engine = std::make_unique<Engine>(*loaded.session.verifier.model, loaded.drafter.model.get(),
                                         loaded.options);
  ServedModel model = Describe(flags, loaded, *engine);
  if (flags.kv_cache_dtype.starts_with("fp8")) Log("KV cache: FP8 E4M3 with scales of 1.0");
  log.Phase("engine: {} requests at a time, {} tokens of context each",
            engine->options().max_num_seqs, engine->options().max_model_len);
  const auto timeout = std::chrono::duration_cast<EngineWorker::Clock::duration>(
      std::chrono::duration<double>(flags.request_timeout_s));
  return std::make_unique<Serving>(std::move(model), MakeStepEngine(std::move(engine)),
                                   flags.max_num_queued_reqs, timeout);
}

int Serve(const ServeFlags& flags) {
  StartupLog log;
  CheckServeFlags(flags);
  for (const std::string& note : flags.notes) Log("{}", note);
  Router router(flags.api_keys, kVersion);
  std::optional<Loaded> loaded;
  std::unique_ptr<Serving> serving;
  HttpServer server(router, flags.http);  // ends before what its requests use
  log.Phase("listening on http://{}:{}, /health says 503 until the model is loaded",
            flags.http.host, server.port());
  loaded.emplace(Load(flags, log));
  serving = MakeServing(flags, *loaded, log);
  Log("backend: {}", loaded->session.backend->Description());
  Watch watch;
  router.SetReady(*serving);
  Log("ready after {:.2f} s: {} at http://{}:{}/v1", log.TotalSeconds(),
      serving->model.names.front(), flags.http.host, server.port());
  const bool on_gpu = !loaded->session.backend->Description().starts_with("cpu");
  watch.Wait(serving->metrics, !flags.disable_log_stats, on_gpu);
  Log("shutting down: {} requests are finished first", serving->worker.in_flight());
  router.SetDraining();
  serving->worker.Drain(std::chrono::seconds(flags.shutdown_timeout_s));
  server.Stop(kLastReplies);
  return 0;
}

}  // namespace

void AddServe(CLI::App& app, RunCommand& run) {
  auto flags = std::make_shared<ServeFlags>();
  CLI::App* command =
      app.add_subcommand("serve", "Answer OpenAI-style requests over HTTP, with vLLM's flags");
  command->footer(
      "Examples:\n"
      "  talon serve models/demo/verifier --speculative-config '{\"model\": "
      "\"models/demo/drafter\"}'\n"
      "  talon serve models/demo/drafter --port 8000   # the drafter names its verifier");
  AddServeFlags(*command, *flags);
  command->callback([flags, &run] { run = [flags] { return Serve(*flags); }; });
}

}  // namespace talon

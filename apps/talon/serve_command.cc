// `talon serve`: listens first, loads the models, answers until a signal, drains.
#include <chrono>
#include <condition_variable>
#include <ctime>
#include <mutex>

#include "apps/talon/commands.h"
#include "apps/talon/interrupt.h"
#include "apps/talon/serve_models.h"
#include "talon/checkpoint/identity.h"
#include "talon/serve/router.h"

namespace talon {
namespace {

constexpr auto kStatsPeriod = std::chrono::seconds(10);  // vLLM's
constexpr auto kLastReplies = std::chrono::seconds(5);

SamplingDefaults ReadSamplingDefaults(const ServeFlags& flags, const Session& session) {
  if (flags.generation_config == "vllm") return {};
  const GenerationConfig config = flags.generation_config == "auto"
                                      ? session.generation_config
                                      : ReadGenerationConfig(flags.generation_config);
  return {config.temperature, config.top_k, config.top_p};
}

ServedModel Describe(const ServeFlags& flags, const ServedPair& loaded, const Engine& engine) {
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

std::unique_ptr<Serving> MakeServing(const ServeFlags& flags, const ServedPair& loaded,
                                     StartupLog& log) {
  auto engine = std::make_unique<Engine>(*loaded.session.verifier.model, loaded.drafter.model.get(),
                                         loaded.options);
  ServedModel model = Describe(flags, loaded, *engine);
  log.Phase("engine: {} requests at a time, {} tokens of context each, prefix cache {}",
            engine->options().max_num_seqs, engine->options().max_model_len,
            engine->options().enable_prefix_caching ? "on" : "off");
  const auto timeout = std::chrono::duration_cast<EngineWorker::Clock::duration>(
      std::chrono::duration<double>(flags.request_timeout_s));
  return std::make_unique<Serving>(std::move(model), MakeStepEngine(std::move(engine)),
                                   flags.max_num_queued_reqs, timeout);
}

// Off without a baseline of these two checkpoints.
void WatchAcceptance(const ServedPair& loaded, Serving& serving) {
  if (loaded.drafter.model == nullptr) return;
  const std::filesystem::path& folder = loaded.drafter.directory;
  std::optional<AcceptanceBaseline> baseline = ReadBaseline(folder);
  if (!baseline) return;
  if (baseline->verifier_identity != CheckpointIdentity(*loaded.session.verifier.store) ||
      baseline->drafter_identity != CheckpointIdentity(*loaded.drafter.store)) {
    Log("{} was recorded with other checkpoints; acceptance is not compared",
        BaselinePath(folder).string());
    return;
  }
  if (baseline->k > loaded.options.num_speculative_tokens) {
    Log("acceptance was recorded with {} drafts a round, and this server has {}; it is not "
        "compared",
        baseline->k, loaded.options.num_speculative_tokens);
    return;
  }
  serving.WatchAcceptance(std::move(*baseline), [](const AcceptanceCheck& check) {
    if (check.state == AcceptanceCheck::State::kAsExpected) return Log("{}", Describe(check));
    LogWarning("{}", Describe(check));
  });
}

int Serve(const ServeFlags& flags) {
  StartupLog log;
  CheckServeFlags(flags);
  for (const std::string& note : flags.notes) Log("{}", note);
  Router router(flags.api_keys, kVersion);
  std::optional<ServedPair> loaded;
  std::unique_ptr<Serving> serving;
  HttpServer server(router, flags.http);  // ends before what its requests use
  log.Phase("listening on http://{}:{}, /health says 503 until the model is loaded",
            flags.http.host, server.port());
  loaded.emplace(LoadServedPair(flags, log));
  serving = MakeServing(flags, *loaded, log);
  Log("backend: {}", loaded->session.backend->Description());
  Watch watch;
  WatchAcceptance(*loaded, *serving);
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

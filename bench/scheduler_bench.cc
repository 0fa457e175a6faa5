// The share of an engine step that is not spent in the models' ops: scheduling, pages, batches,
// bookkeeping. TALON_BENCH_PAIR names the pair's folder (verifier/, drafter/); default: the tiny
// pair in ../shared, where overhead weighs most.
#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <random>

#include "talon/backend/forwarding_backend.h"
#include "talon/engine/engine.h"
#include "talon/model/load.h"

namespace talon {
namespace {

constexpr int64_t kPromptTokens = 64;
constexpr int64_t kAnswerTokens = 128;

std::filesystem::path PairFolder() {
  const char* configured = std::getenv("TALON_BENCH_PAIR");
  return configured != nullptr ? configured : "../shared/models/tiny-gemma4";
}

// Adds up the time spent in ops.
class TimedBackend final : public ForwardingBackend {
 public:
  using ForwardingBackend::ForwardingBackend;
  double op_seconds() const { return std::chrono::duration<double>(in_ops_).count(); }

 private:
  void Around(const std::function<void()>& op) override {
    const auto start = std::chrono::steady_clock::now();
    op();
    in_ops_ += std::chrono::steady_clock::now() - start;
  }

  std::chrono::steady_clock::duration in_ops_{};
};

struct Pair {
  TimedBackend backend{MakeBackend({"cpu", 0})};
  LoadedVerifier verifier = LoadVerifier(backend, PairFolder() / "verifier", {DType::kBF16});
  LoadedDrafter drafter = LoadDrafter(PairFolder() / "drafter", {DType::kBF16}, *verifier.model);
};

void SubmitAll(Engine& engine, int64_t count, int64_t vocab_size) {
  std::mt19937 random(1);
  for (int64_t i = 0; i < count; ++i) {
    GenerationRequest request;
    for (int64_t t = 0; t < kPromptTokens; ++t) {
      request.prompt_ids.push_back(
          static_cast<int32_t>(random() % static_cast<uint32_t>(vocab_size)));
    }
    request.max_tokens = kAnswerTokens;
    engine.Submit(std::move(request));
  }
}

// Arguments: requests at a time, drafts a round.
void EngineStep(benchmark::State& state) {
  if (!std::filesystem::exists(PairFolder())) {
    state.SkipWithError("no pair: set TALON_BENCH_PAIR");
    return;
  }
  Pair pair;
  EngineOptions options;
  options.max_num_seqs = state.range(0);
  options.num_speculative_tokens = state.range(1);
  options.max_model_len = 2048;
  options.enable_prefix_caching = true;
  Engine engine(*pair.verifier.model, pair.drafter.model.get(), options);
  const double before = pair.backend.op_seconds();
  const auto start = std::chrono::steady_clock::now();
  for (auto unused : state) {
    if (engine.idle()) {
      SubmitAll(engine, options.max_num_seqs, pair.verifier.model->config().vocab_size);
    }
    benchmark::DoNotOptimize(engine.Step());
  }
  const double all =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const double in_ops = pair.backend.op_seconds() - before;
  state.counters["outside_ops_percent"] = 100.0 * (1.0 - in_ops / all);
}

BENCHMARK(EngineStep)
    ->ArgNames({"requests", "drafts"})
    ->ArgsProduct({{1, 2, 4, 8}, {0, 3}})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
}  // namespace talon

BENCHMARK_MAIN();

// Decoding the bundled pair without drafts, with three, and with as many as the policy chooses, by
// batch size. The three take turns on one thread and are timed in CPU time, so that a busy machine
// disturbs the comparison little; `auto/none` is the median over the turns of how much faster auto
// is. It should never be below 1 beyond noise.
//
//   auto_drafts_bench [--benchmark_filter=batch:1] [--benchmark_min_time=5]
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <filesystem>
#include <random>

#include "talon/engine/engine.h"
#include "talon/model/load.h"
#include "talon/text/chat.h"
#include "talon/text/tokenizer.h"

namespace talon::bench {
namespace {

constexpr int64_t kMostAutoDrafts = 7;
constexpr int64_t kAnswerTokens = 200;

struct Pair {
  std::unique_ptr<Backend> backend = MakeBackend({"cpu", 1});
  LoadedVerifier verifier;
  LoadedDrafter drafter;
  std::unique_ptr<Tokenizer> tokenizer;

  Pair() {
    const std::filesystem::path demo = "models/demo";
    verifier = LoadVerifier(*backend, demo / "verifier", {DType::kBF16});
    drafter = LoadDrafter(demo / "drafter", {DType::kBF16}, *verifier.model);
    tokenizer = Tokenizer::Load(demo / "verifier" / "tokenizer.json");
  }
};

Pair& ThePair() {
  static Pair pair;
  return pair;
}

double CpuSeconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Questions, which the drafter knows something about; or random ids at a high temperature.
std::vector<GenerationRequest> Requests(int64_t count, bool questions) {
  const Pair& pair = ThePair();
  const char* texts[] = {"Tell me about rivers.", "What is the capital of France?",
                         "Write a short story about a fox.", "How do plants grow?"};
  std::mt19937 random(1);
  std::vector<GenerationRequest> requests;
  for (int64_t i = 0; i < count; ++i) {
    GenerationRequest request;
    if (questions) {
      const Json messages = {{{"role", "user"}, {"content", texts[i % 4]}}};
      request.prompt_ids =
          EncodePrompt(*pair.tokenizer, RenderChat(ChatFormat::kGemma4, messages, ChatOptions()));
    } else {
      for (int token = 0; token < 30; ++token) {
        request.prompt_ids.push_back(static_cast<int32_t>(
            random() % static_cast<uint32_t>(pair.verifier.model->config().vocab_size)));
      }
      request.sampling.temperature = 1.5;
    }
    request.sampling.seed = static_cast<uint64_t>(i);
    request.max_tokens = kAnswerTokens;
    requests.push_back(std::move(request));
  }
  return requests;
}

// One way to decode, and what it took so far.
class Contender {
 public:
  Contender(int64_t batch, int64_t drafts, bool automatic)
      : engine_(*ThePair().verifier.model, drafts == 0 ? nullptr : ThePair().drafter.model.get(),
                Options(batch, drafts, automatic)) {}

  // CPU seconds of one batch of answers.
  double Run(const std::vector<GenerationRequest>& requests) {
    const double start = CpuSeconds();
    const std::vector<GenerationResult> results = engine_.Generate(requests);
    const double seconds = CpuSeconds() - start;
    seconds_ += seconds;
    for (const GenerationResult& result : results) {
      tokens_ += std::ssize(result.tokens);
      for (const Round& round : result.rounds) drafted_ += std::ssize(round.drafts);
    }
    return seconds;
  }
  double TokensPerSecond() const { return static_cast<double>(tokens_) / seconds_; }
  double DraftsPerToken() const {
    return static_cast<double>(drafted_) / static_cast<double>(tokens_);
  }

 private:
  static EngineOptions Options(int64_t batch, int64_t drafts, bool automatic) {
    EngineOptions options;
    options.max_num_seqs = batch;
    options.max_model_len = 512;
    options.num_speculative_tokens = drafts;
    options.auto_drafts = automatic;
    return options;
  }

  Engine engine_;
  double seconds_ = 0.0;
  int64_t tokens_ = 0;
  int64_t drafted_ = 0;
};

double Median(std::vector<double> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

void BenchDecode(benchmark::State& state, int64_t batch, bool questions) {
  Contender none(batch, 0, false);
  Contender three(batch, 3, false);
  Contender automatic(batch, kMostAutoDrafts, true);
  const std::vector<GenerationRequest> requests = Requests(batch, questions);
  std::vector<double> ratios;
  for (auto _ : state) {
    const double none_s = none.Run(requests);
    ratios.push_back(none_s / automatic.Run(requests));
    three.Run(requests);
  }
  state.counters["none_tok/s"] = none.TokensPerSecond();
  state.counters["k3_tok/s"] = three.TokensPerSecond();
  state.counters["auto_tok/s"] = automatic.TokensPerSecond();
  state.counters["auto_drafts/token"] = automatic.DraftsPerToken();
  state.counters["auto/none"] = Median(std::move(ratios));
}

void RegisterAll() {
  for (const bool questions : {true, false}) {
    for (int64_t batch = 1; batch <= 8; ++batch) {
      const std::string name =
          fmt::format("{}/batch:{}", questions ? "questions" : "random", batch);
      benchmark::RegisterBenchmark(name.c_str(), BenchDecode, batch, questions)
          ->Unit(benchmark::kMillisecond);
    }
  }
}

}  // namespace
}  // namespace talon::bench

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  talon::bench::RegisterAll();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

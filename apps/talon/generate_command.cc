// `talon generate`: one answer, streamed to the terminal, with or without a drafter.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <random>

#include "apps/talon/commands.h"
#include "apps/talon/session.h"
#include "talon/base/error.h"
#include "talon/base/progress.h"
#include "talon/engine/engine.h"

namespace talon {
namespace {

using Clock = std::chrono::steady_clock;

struct GenerateFlags {
  SessionFlags session;
  std::string drafter;
  std::string prompt;
  std::string system;
  bool raw = false;
  bool json = false;
  bool mark_drafts = false;
  int64_t num_speculative_tokens = -1;
  int64_t max_tokens = 256;
  std::optional<double> temperature;
  std::optional<int64_t> top_k;
  std::optional<double> top_p;
  double min_p = 0.0;
  std::optional<uint64_t> seed;
};

std::string ReadPrompt(const GenerateFlags& flags) {
  if (flags.prompt != "-") return flags.prompt;
  return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
}

std::vector<int32_t> EncodeRequest(const GenerateFlags& flags, const Session& session) {
  const std::string prompt = ReadPrompt(flags);
  if (flags.raw) return EncodePrompt(*session.tokenizer, prompt);
  Json messages = Json::array();
  if (!flags.system.empty()) messages.push_back({{"role", "system"}, {"content", flags.system}});
  messages.push_back({{"role", "user"}, {"content", prompt}});
  return session.EncodeChat(messages);
}

// What the checkpoint's generation_config.json recommends, unless a flag says otherwise.
SamplingParams Sampling(const GenerateFlags& flags, const GenerationConfig& defaults) {
  SamplingParams params;
  params.temperature = flags.temperature.value_or(defaults.do_sample ? defaults.temperature : 0.0);
  params.top_k = flags.top_k.value_or(defaults.top_k);
  params.top_p = flags.top_p.value_or(defaults.top_p);
  params.min_p = flags.min_p;
  params.seed = flags.seed.value_or(std::random_device{}());
  return params;
}

// Streams an answer; draft tokens that were accepted are marked when asked.
class AnswerPrinter {
 public:
  AnswerPrinter(const Tokenizer& tokenizer, bool silent, bool mark_drafts)
      : detokenizer_(tokenizer, /*skip_special_tokens=*/true),
        silent_(silent),
        mark_(mark_drafts),
        colour_(mark_drafts && IsTerminal(STDOUT_FILENO)) {}

  void Print(const StepOutput& output) {
    for (size_t i = 0; i < output.tokens.size(); ++i) {
      const bool drafted = static_cast<int64_t>(i) < output.round.accepted;
      const std::string text = detokenizer_.Push(output.tokens[i]);
      answer_ += text;
      if (silent_ || text.empty()) continue;
      if (!mark_ || !drafted) {
        fmt::print("{}", text);
      } else if (colour_) {
        fmt::print("\033[32m{}\033[0m", text);
      } else {
        fmt::print("[{}]", text);
      }
    }
    std::fflush(stdout);
  }

  const std::string& Finish() {
    const std::string rest = detokenizer_.Finish();
    answer_ += rest;
    if (!silent_) fmt::print("{}\n", rest);
    return answer_;
  }

 private:
  IncrementalDetokenizer detokenizer_;
  bool silent_;
  bool mark_;
  bool colour_;
  std::string answer_;
};

struct Totals {
  int64_t drafts = 0;
  int64_t accepted = 0;
};

Totals Count(const std::vector<Round>& rounds) {
  Totals totals;
  for (const Round& round : rounds) {
    ++totals.drafts;
    totals.accepted += round.accepted;
  }
  return totals;
}

Json ToJson(const GenerationResult& result, const std::string& text, int64_t prompt_tokens,
            double seconds) {
  Json rounds = Json::array();
  for (const Round& round : result.rounds) {
    rounds.push_back({{"drafts", round.drafts}, {"accepted", round.accepted}});
  }
  return {{"text", text},
          {"token_ids", result.tokens},
          {"finish_reason", std::string(Name(result.finish_reason))},
          {"prompt_tokens", prompt_tokens},
          {"completion_tokens", result.tokens.size()},
          {"seconds", seconds},
          {"rounds", rounds}};
}

void PrintSummary(const GenerationResult& result, int64_t prompt_tokens, double seconds) {
  const auto tokens = static_cast<double>(result.tokens.size());
  fmt::print(stderr, "\n{} prompt tokens, {} new tokens in {:.2f} s ({:.1f} tokens/s)",
             prompt_tokens, result.tokens.size(), seconds, tokens / seconds);
  const Totals totals = Count(result.rounds);
  if (totals.drafts > 0) {
    fmt::print(stderr, ", acceptance length {:.2f} over {} rounds",
               1.0 + static_cast<double>(totals.accepted) / static_cast<double>(totals.drafts),
               totals.drafts);
  }
  fmt::print(stderr, "\n");
}

int Generate(const GenerateFlags& flags) {
  const Session session = OpenSession(flags.session);
  LoadedDrafter drafter;
  EngineOptions options;
  options.max_num_seqs = 1;
  options.kv_dtype = session.options.dtype;
  if (!flags.drafter.empty()) {
    drafter = session.OpenDrafter(flags.drafter);
    const int64_t own = drafter.model->default_num_speculative_tokens();
    options.num_speculative_tokens =
        flags.num_speculative_tokens >= 0 ? flags.num_speculative_tokens : (own > 0 ? own : 3);
  }
  if (!flags.json) {
    fmt::print(stderr, "{}\nverifier: {}\n", session.backend->Description(),
               session.verifier.model->format_summary());
    if (drafter.model) {
      fmt::print(stderr, "drafter: {}, {} drafts a round\n", drafter.model->format_summary(),
                 options.num_speculative_tokens);
    }
  }
  GenerationRequest request;
  request.prompt_ids = EncodeRequest(flags, session);
  request.max_tokens = flags.max_tokens;
  request.sampling = Sampling(flags, session.generation_config);
  request.stop_token_ids = session.StopTokenIds();
  const auto prompt_tokens = static_cast<int64_t>(request.prompt_ids.size());
  Engine engine(*session.verifier.model, drafter.model.get(), options);
  AnswerPrinter printer(*session.tokenizer, flags.json, flags.mark_drafts);
  const Clock::time_point start = Clock::now();
  const GenerationResult result = engine.Generate(
      {std::move(request)}, [&](const StepOutput& output) { printer.Print(output); })[0];
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  const std::string& text = printer.Finish();
  if (flags.json) {
    fmt::print("{}\n", ToJson(result, text, prompt_tokens, seconds).dump(2));
  } else {
    PrintSummary(result, prompt_tokens, seconds);
  }
  return 0;
}

}  // namespace

void AddGenerate(CLI::App& app, RunCommand& run) {
  auto flags = std::make_shared<GenerateFlags>();
  CLI::App* command = app.add_subcommand("generate", "Answer one prompt, with or without drafts");
  command->footer(
      "Examples:\n"
      "  talon generate models/demo/verifier --drafter models/demo/drafter \"Tell me a story.\"\n"
      "  echo 'What is 2+2?' | talon generate google/gemma-4-31B-it - --temperature 0 --json");
  command
      ->add_option("verifier", flags->session.verifier, "verifier: folder or org/name[@revision]")
      ->required();
  command->add_option("prompt", flags->prompt, "the user's turn; - reads standard input")
      ->required();
  command->add_option("--drafter", flags->drafter, "EAGLE-3 drafter: folder or org/name");
  command
      ->add_option("--num-speculative-tokens,-k", flags->num_speculative_tokens,
                   "drafts per round; default: the drafter's own, else 3")
      ->check(CLI::Range(0, 32));
  command->add_option("--system", flags->system, "system text");
  command->add_flag("--raw", flags->raw, "the prompt is raw text: no chat format");
  command->add_option("--max-tokens", flags->max_tokens, "at most this many new tokens")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  command->add_option("--temperature", flags->temperature, "0: greedy")
      ->check(CLI::Range(0.0, 100.0));
  command->add_option("--top-k", flags->top_k, "0: off")->check(CLI::Range(0, 1 << 20));
  command->add_option("--top-p", flags->top_p, "nucleus mass")->check(CLI::Range(1e-6, 1.0));
  command->add_option("--min-p", flags->min_p, "share of the top probability")
      ->check(CLI::Range(0.0, 1.0));
  command->add_option("--seed", flags->seed, "the same seed gives the same text, drafts or not");
  command->add_flag("--mark-drafts", flags->mark_drafts, "mark accepted draft tokens");
  command->add_flag("--json", flags->json, "print the answer, drafts and accepted counts as JSON");
  AddSessionFlags(*command, flags->session);
  command->callback([flags, &run] { run = [flags] { return Generate(*flags); }; });
}

}  // namespace talon

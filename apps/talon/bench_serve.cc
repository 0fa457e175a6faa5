#include "apps/talon/bench_serve.h"

#include <cmath>
#include <ctime>
#include <memory>
#include <random>
#include <utility>

#include "talon/base/atomic_output.h"
#include "talon/base/error.h"
#include "talon/base/progress.h"
#include "talon/bench/load_report.h"
#include "talon/text/dataset.h"

namespace talon {
namespace {

constexpr const char* kChatEndpoint = "/v1/chat/completions";
constexpr const char* kCompletionsEndpoint = "/v1/completions";

// Random prompts are made of its tokens, which every tokenizer has.
constexpr const char* kWords =
    "the quick brown fox jumps over a lazy dog while seven small boats wait in the harbour and an "
    "old man reads his book under the green tree; numbers such as 1, 2, 3 and 40 count what people "
    "buy, sell, find or lose on their way from the mountain to the sea";

struct BenchServeFlags {
  ServerAddress server;
  std::string endpoint = kCompletionsEndpoint;
  std::string model;  // empty: the server's first
  std::string dataset_name = "random";
  std::string dataset_path;
  int64_t num_prompts = 1000;
  int64_t random_input_len = 1024;
  int64_t random_output_len = 128;
  double random_range_ratio = 0.0;
  int64_t output_len = 128;
  std::string request_rate = "inf";
  Traffic traffic;
  int64_t num_warmups = 0;
  bool ignore_eos = false;
  double temperature = 0.0;
  std::vector<double> percentiles = {99.0};
  bool save_detailed = false;
  std::string json;
};

int64_t LengthNear(int64_t length, double ratio, std::mt19937_64& random) {
  const auto spread = static_cast<int64_t>(static_cast<double>(length) * ratio);
  return std::uniform_int_distribution<int64_t>(std::max<int64_t>(1, length - spread),
                                                length + spread)(random);
}

// What every request has, whatever it asks.
Json BaseBody(const BenchServeFlags& flags) {
  return {{"model", flags.model},
          {"temperature", flags.temperature},
          {"ignore_eos", flags.ignore_eos},
          {"stream", true},
          {"stream_options", {{"include_usage", true}}}};
}

std::vector<Json> RandomBodies(const BenchServeFlags& flags) {
  if (flags.endpoint != kCompletionsEndpoint) {
    Throw(ErrorCode::kInvalidArgument,
          "--endpoint {} takes no random token ids; give --dataset-name custom or {}",
          flags.endpoint, kCompletionsEndpoint);
  }
  const Json asked = {{"model", flags.model}, {"prompt", kWords}, {"add_special_tokens", false}};
  const Json known =
      ParseJson(AskServer(flags.server, "/tokenize", asked.dump()), "the server's /tokenize");
  const auto words = known.at("tokens").get<std::vector<int32_t>>();
  std::mt19937_64 random(flags.traffic.seed);
  std::vector<Json> bodies;
  for (int64_t i = 0; i < flags.num_prompts; ++i) {
    std::vector<int32_t> prompt;
    const int64_t length = LengthNear(flags.random_input_len, flags.random_range_ratio, random);
    while (std::ssize(prompt) < length) prompt.push_back(words[random() % words.size()]);
    Json body = BaseBody(flags);
    body["prompt"] = prompt;
    body["max_tokens"] = LengthNear(flags.random_output_len, flags.random_range_ratio, random);
    bodies.push_back(std::move(body));
  }
  return bodies;
}

// The rows of a data set, again from the first one when there are fewer than requests.
std::vector<Json> DatasetBodies(const BenchServeFlags& flags) {
  const std::vector<PromptRow> rows = ReadPrompts(flags.dataset_path);
  std::vector<Json> bodies;
  for (int64_t i = 0; i < flags.num_prompts; ++i) {
    const PromptRow& row = rows[static_cast<size_t>(i) % rows.size()];
    Json body = BaseBody(flags);
    body["max_tokens"] = flags.output_len;
    if (flags.endpoint == kChatEndpoint) {
      body["messages"] = row.turns.empty()
                             ? row.messages
                             : Json{{{"role", "user"}, {"content", row.turns.front()}}};
    } else if (!row.turns.empty()) {
      body["prompt"] = row.turns.front();
    } else {
      Throw(ErrorCode::kInvalidArgument, "{}: row {} is a conversation; give --endpoint {}",
            flags.dataset_path, row.id, kChatEndpoint);
    }
    bodies.push_back(std::move(body));
  }
  return bodies;
}

double ParseRate(const std::string& text) {
  double rate = 0.0;
  size_t end = 0;
  try {
    rate = std::stod(text, &end);
  } catch (const std::exception&) {
    end = std::string::npos;
  }
  if (end != text.size() || !(rate > 0.0)) {
    Throw(ErrorCode::kInvalidArgument,
          "--request-rate is '{}'; expected requests per second above 0, or inf", text);
  }
  return rate;
}

std::string FirstModel(const ServerAddress& server) {
  const Json models = ParseJson(AskServer(server, "/v1/models"), "the server's /v1/models");
  return models.at("data").at(0).at("id").get<std::string>();
}

// Keys of `vllm bench serve --save-result` about how it was run.
Json SettingsJson(const BenchServeFlags& flags) {
  char date[32];
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  std::strftime(date, sizeof(date), "%Y%m%d-%H%M%S", &local);
  const Json rate = std::isinf(flags.traffic.requests_per_second)
                        ? Json("inf")
                        : Json(flags.traffic.requests_per_second);
  const Json concurrency =
      flags.traffic.max_concurrency > 0 ? Json(flags.traffic.max_concurrency) : Json();
  return {{"date", date},
          {"endpoint_type", flags.endpoint == kChatEndpoint ? "openai-chat" : "openai"},
          {"backend", flags.endpoint == kChatEndpoint ? "openai-chat" : "openai"},
          {"label", nullptr},
          {"model_id", flags.model},
          {"tokenizer_id", flags.model},
          {"num_prompts", flags.num_prompts},
          {"request_rate", rate},
          {"burstiness", flags.traffic.burstiness},
          {"max_concurrency", concurrency}};
}

std::optional<DraftFigures> AskDraftFigures(const ServerAddress& server) {
  return ReadDraftFigures(AskServer(server, "/metrics"));
}

int BenchServe(BenchServeFlags flags) {
  flags.traffic.requests_per_second = ParseRate(flags.request_rate);
  if (flags.model.empty()) flags.model = FirstModel(flags.server);
  const std::vector<Json> bodies =
      flags.dataset_name == "random" ? RandomBodies(flags) : DatasetBodies(flags);
  if (flags.num_warmups > 0) {
    const std::vector<Json> warmups(static_cast<size_t>(flags.num_warmups), bodies.front());
    RunLoad(flags.server, flags.endpoint, warmups, {.max_concurrency = 1});
  }
  const std::optional<DraftFigures> before = AskDraftFigures(flags.server);
  LoadResult result;
  {
    Progress progress("requests", flags.num_prompts, "requests");
    result = RunLoad(flags.server, flags.endpoint, bodies, flags.traffic,
                     [&progress] { progress.Advance(); });
  }
  std::optional<DraftFigures> drafts = AskDraftFigures(flags.server);
  if (drafts && before) drafts = Difference(*before, *drafts);
  const LoadFigures figures = ComputeFigures(result, flags.percentiles);
  fmt::print("{}", FormatFigures(figures, drafts));
  for (const RequestTiming& timing : result.requests) {
    if (timing.success) continue;
    fmt::print(stderr, "{} requests failed; the first: {}\n", figures.failed, timing.error);
    break;
  }
  if (!flags.json.empty()) {
    Json json = SettingsJson(flags);
    json.update(FiguresJson(figures, result, flags.save_detailed));
    if (drafts) json.update(DraftFiguresJson(*drafts));
    WriteFileAtomically(flags.json,
                        json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
  }
  return figures.failed == 0 ? 0 : 1;
}

void AddPromptFlags(CLI::App& command, BenchServeFlags& flags) {
  command.add_option("--dataset-name", flags.dataset_name, "random, or custom: --dataset-path")
      ->check(CLI::IsMember({"random", "custom"}))
      ->capture_default_str();
  command.add_option("--dataset-path", flags.dataset_path,
                     "JSONL file or folder; rows have turns, prompt or messages");
  command.add_option("--num-prompts", flags.num_prompts, "requests")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 24))
      ->capture_default_str();
  command.add_option("--random-input-len", flags.random_input_len, "tokens of a random prompt")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 24))
      ->capture_default_str();
  command.add_option("--random-output-len", flags.random_output_len, "tokens of its answer")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 24))
      ->capture_default_str();
  command
      .add_option("--random-range-ratio", flags.random_range_ratio,
                  "lengths differ by up to this share")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command.add_option("--output-len", flags.output_len, "tokens of an answer to a data set's row")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 24))
      ->capture_default_str();
  command.add_flag("--ignore-eos", flags.ignore_eos, "answers have their full length");
  command.add_option("--temperature", flags.temperature, "0: greedy")
      ->check(CLI::Range(0.0, 2.0))
      ->capture_default_str();
}

void AddTrafficFlags(CLI::App& command, BenchServeFlags& flags) {
  command.add_option("--request-rate", flags.request_rate, "requests per second; inf: all at once")
      ->capture_default_str();
  command
      .add_option("--burstiness", flags.traffic.burstiness,
                  "1: Poisson; below: burstier; above: more even")
      ->check(CLI::Range(1e-3, 1e6))
      ->capture_default_str();
  command.add_option("--max-concurrency", flags.traffic.max_concurrency, "requests in flight")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20));
  command.add_option("--seed", flags.traffic.seed, "of prompts and gaps")->capture_default_str();
  command.add_option("--num-warmups", flags.num_warmups, "requests before, one at a time")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 20))
      ->capture_default_str();
}

void AddServerFlags(CLI::App& command, BenchServeFlags& flags) {
  command.add_option("--host", flags.server.host, "the server's address")->capture_default_str();
  command.add_option("--port", flags.server.port, "the server's port")->capture_default_str();
  command.add_option("--api-key", flags.server.api_key, "the server's key")
      ->envname("OPENAI_API_KEY");
  command.add_option("--endpoint", flags.endpoint, "where requests go")
      ->check(CLI::IsMember({kCompletionsEndpoint, kChatEndpoint}))
      ->capture_default_str();
  command.add_option("--model", flags.model, "the name to ask for; default: the server's first");
}

}  // namespace

void AddBenchServe(CLI::App& bench, RunCommand& run) {
  auto flags = std::make_shared<BenchServeFlags>();
  CLI::App* command =
      bench.add_subcommand("serve", "Put load on a running server and time its answers");
  command->footer(
      "Flags and figures are those of `vllm bench serve`.\n"
      "Example:\n"
      "  talon bench serve --port 8000 --num-prompts 64 --max-concurrency 8 --random-input-len 256 "
      "--ignore-eos --json result.json");
  AddServerFlags(*command, *flags);
  AddPromptFlags(*command, *flags);
  AddTrafficFlags(*command, *flags);
  command->add_option("--metric-percentiles", flags->percentiles, "percentiles to report: 50,95,99")
      ->delimiter(',')
      ->check(CLI::Range(0.0, 100.0));
  command->add_option("--json", flags->json,
                      "write what --save-result of vLLM writes to this file");
  command->add_flag("--save-detailed", flags->save_detailed,
                    "with --json: lengths, times and texts of every request");
  command->callback([flags, &run] { run = [flags] { return BenchServe(*flags); }; });
}

}  // namespace talon

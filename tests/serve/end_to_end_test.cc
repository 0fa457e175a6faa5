// The server with the bundled pair: what HTTP returns is what the verifier alone would say.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "talon/engine/engine.h"
#include "talon/model/load.h"
#include "talon/serve/http_server.h"
#include "talon/serve/openai_protocol.h"
#include "talon/serve/router.h"
#include "tests/serve/http_client.h"
#include "tests/serve/serve_fixture.h"
#include "tests/support/test_data.h"

namespace talon {
namespace {

using std::chrono::milliseconds;
using test::ClientReply;
using test::DemoPath;
using test::HttpClient;
using test::ParseEvents;
using testing::AllOf;
using testing::HasSubstr;

const std::string kChat = "/v1/chat/completions";
constexpr int64_t kDrafts = 3;

// Models, opened once.
struct Pair {
  std::unique_ptr<Backend> backend = MakeBackend({"cpu", 1});
  LoadedVerifier verifier = LoadVerifier(*backend, DemoPath("verifier"), {DType::kBF16});
  LoadedDrafter drafter = LoadDrafter(DemoPath("drafter"), {DType::kBF16}, *verifier.model);
  std::unique_ptr<Tokenizer> tokenizer = Tokenizer::Load(DemoPath("verifier") / "tokenizer.json");
};

class EndToEndTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (std::filesystem::exists(DemoPath("verifier"))) pair_ = new Pair();
  }
  static void TearDownTestSuite() {
    delete pair_;
    pair_ = nullptr;
  }

  void SetUp() override {
    TALON_REQUIRE_PATH(DemoPath("verifier"));
    EngineOptions options;
    options.max_num_seqs = 4;
    options.max_num_batched_tokens = 96;  // prompts come in chunks
    options.max_model_len = 512;
    options.num_speculative_tokens = kDrafts;
    Start(options);
  }
  void TearDown() override { server_.reset(); }

  // Serves the pair, in place of the server that runs.
  void Start(const EngineOptions& options) {
    server_.reset();
    auto engine =
        std::make_unique<Engine>(*pair_->verifier.model, pair_->drafter.model.get(), options);
    serving_ =
        std::make_unique<Serving>(Model(), MakeStepEngine(std::move(engine)), 64, milliseconds(0));
    router_.SetReady(*serving_);
    HttpServerOptions http;
    http.port = 0;
    server_ = std::make_unique<HttpServer>(router_, http);
  }

  ServedModel Model() const {
    ServedModel model;
    model.names = {"demo"};
    model.tokenizer = pair_->tokenizer.get();
    model.chat_format = DetectChatFormat(DemoPath("verifier"));
    model.reasoning = FindReasoningMarkers(*pair_->tokenizer);
    const GenerationConfig config = ReadGenerationConfig(DemoPath("verifier"));
    model.sampling = {config.temperature, config.top_k, config.top_p};
    model.stop_token_ids = config.eos_token_ids;
    model.vocab_size = static_cast<int32_t>(pair_->verifier.model->config().vocab_size);
    model.max_model_len = 512;
    model.num_speculative_tokens = kDrafts;
    return model;
  }

  // Requests about the bundled questions: greedy and seeded, streamed and whole.
  static std::vector<Json> Requests(size_t count) {
    std::vector<Json> requests;
    for (const char* file : {"prompts/qa.jsonl", "prompts/mt_bench.jsonl",
                             "prompts/translation.jsonl", "prompts/math_reasoning.jsonl"}) {
      std::ifstream lines(DemoPath(file));
      for (std::string line; std::getline(lines, line) && requests.size() < count;) {
        const size_t i = requests.size();
        Json request = {{"messages", {{{"role", "user"}}}},
                        {"max_tokens", 40},
                        {"return_token_ids", true},
                        {"stream", i % 3 == 2}};
        request["messages"][0]["content"] = Json::parse(line)["turns"][0];
        if (i % 2 == 0) request["temperature"] = 0;
        if (i % 2 == 1) request["seed"] = i;
        requests.push_back(std::move(request));
      }
    }
    return requests;
  }

  // What an engine without drafts, alone with each request, answers.
  std::vector<std::vector<int32_t>> References(const std::vector<Json>& requests) const {
    EngineOptions options;
    options.max_num_seqs = 1;
    options.max_model_len = 512;
    Engine engine(*pair_->verifier.model, nullptr, options);
    std::vector<std::vector<int32_t>> answers;
    for (const Json& request : requests) {
      const ServedModel model = Model();
      const GenerationSpec spec = ParseChatRequest(request, model);
      answers.push_back(engine.Generate(BuildSequences(spec, model))[0].tokens);
    }
    return answers;
  }

  struct Answer {
    std::vector<int32_t> tokens;
    std::string text;
  };
  Answer Ask(const Json& request) const {
    const ClientReply reply = HttpClient(server_->port()).Post(kChat, request);
    EXPECT_EQ(reply.status, 200) << reply.body;
    Answer answer;
    const auto add = [&answer](const Json& choice, const char* message) {
      const auto tokens = choice["token_ids"].get<std::vector<int32_t>>();
      answer.tokens.insert(answer.tokens.end(), tokens.begin(), tokens.end());
      answer.text += choice[message].value("content", "");
    };
    if (!request["stream"].get<bool>()) {
      add(reply.json()["choices"][0], "message");
      return answer;
    }
    for (const Json& event : ParseEvents(reply.body)) {
      const Json& choice = event["choices"][0];
      if (choice.contains("token_ids")) add(choice, "delta");
    }
    return answer;
  }

  // The answer's text, without the token that ended it.
  std::string TextOf(std::vector<int32_t> tokens) const {
    const auto stops = Model().stop_token_ids;
    if (std::find(stops.begin(), stops.end(), tokens.back()) != stops.end()) tokens.pop_back();
    return pair_->tokenizer->Decode(tokens, /*skip_special_tokens=*/true);
  }

  double Metric(const std::string& name) const {
    const std::string text = HttpClient(server_->port()).Get("/metrics").body;
    const size_t at = text.find(fmt::format("\n{}{{", name));
    EXPECT_NE(at, std::string::npos) << name;
    return std::stod(text.substr(text.find("} ", at) + 2));
  }

  static Pair* pair_;
  Router router_{{}, "test"};
  std::unique_ptr<Serving> serving_;
  std::unique_ptr<HttpServer> server_;
};

Pair* EndToEndTest::pair_ = nullptr;

TEST_F(EndToEndTest, ConcurrentAnswersAreThoseOfTheVerifierAlone) {
  const std::vector<Json> requests = Requests(12);
  ASSERT_EQ(requests.size(), 12u);
  const auto references = References(requests);
  std::vector<Answer> answers(requests.size());
  std::vector<std::thread> clients;
  for (size_t i = 0; i < requests.size(); ++i) {
    clients.emplace_back([&, i] { answers[i] = Ask(requests[i]); });
  }
  for (std::thread& client : clients) client.join();
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(answers[i].tokens, references[i]) << requests[i];
    EXPECT_EQ(answers[i].text, TextOf(references[i])) << requests[i];
  }
}

TEST_F(EndToEndTest, MetricsAgreeWithTheAnswers) {
  int64_t drafts = 0;
  int64_t accepted = 0;
  int64_t tokens = 0;
  for (Json request : Requests(4)) {
    request["stream"] = false;
    request["per_request_spec_decode_metrics"] = "summary";
    const Json answer = HttpClient(server_->port()).Post(kChat, request).json();
    const Json& figures = answer["metrics"]["speculative_decoding"];
    drafts += figures["num_spec_steps"].get<int64_t>();
    accepted += figures["num_accepted_draft_tokens"].get<int64_t>();
    tokens += answer["usage"]["completion_tokens"].get<int64_t>();
  }
  EXPECT_GT(accepted, 0);
  EXPECT_EQ(Metric("vllm:spec_decode_num_drafts_total"), static_cast<double>(drafts));
  EXPECT_EQ(Metric("vllm:spec_decode_num_accepted_tokens_total"), static_cast<double>(accepted));
  EXPECT_EQ(Metric("vllm:generation_tokens_total"), static_cast<double>(tokens));
  EXPECT_EQ(Metric("vllm:time_to_first_token_seconds_count"), 4.0);
}

TEST_F(EndToEndTest, MetricsShowPrefixHitsAndWhereTimeWent) {
  EngineOptions options;
  options.max_num_seqs = 1;
  options.max_model_len = 512;
  options.num_speculative_tokens = kDrafts;
  options.enable_prefix_caching = true;
  Start(options);
  const Json request = {{"prompt", std::vector<int32_t>(40, 7)}, {"max_tokens", 4}};
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(HttpClient(server_->port()).Post("/v1/completions", request).status, 200);
  }
  EXPECT_EQ(Metric("vllm:prefix_cache_queries_total"), 80.0);
  EXPECT_EQ(Metric("vllm:prefix_cache_hits_total"), 32.0) << "two full pages of the second";
  EXPECT_EQ(Metric("vllm:request_queue_time_seconds_count"), 2.0);
  const double inference = Metric("vllm:request_inference_time_seconds_sum");
  EXPECT_GT(Metric("vllm:request_prefill_time_seconds_sum"), 0.0);
  EXPECT_NEAR(inference,
              Metric("vllm:request_prefill_time_seconds_sum") +
                  Metric("vllm:request_decode_time_seconds_sum"),
              1e-9);
  EXPECT_NEAR(Metric("vllm:e2e_request_latency_seconds_sum"),
              inference + Metric("vllm:request_queue_time_seconds_sum"), 1e-9);
}

TEST_F(EndToEndTest, AThousandAbortedStreamsLeaveNoPagesInUse) {
  Json request = Requests(1)[0];
  request["stream"] = true;
  request["max_tokens"] = 400;
  request["ignore_eos"] = true;
  for (int i = 0; i < 1000; ++i) {
    HttpClient client(server_->port());
    client.Send("POST", kChat, request.dump());
    if (i % 10 == 0) client.ReceiveSome();
  }
  while (serving_->worker.in_flight() > 0) std::this_thread::sleep_for(milliseconds(1));
  serving_->worker.Drain(milliseconds(60'000));
  EXPECT_EQ(Metric("vllm:num_requests_running"), 0.0);
  EXPECT_EQ(Metric("vllm:num_requests_waiting"), 0.0);
  EXPECT_EQ(Metric("vllm:kv_cache_usage_perc"), 0.0);
}

TEST_F(EndToEndTest, ARequestThatCanNeverFitIsRefusedAtOnce) {
  EngineOptions options;
  options.max_model_len = 512;
  options.num_speculative_tokens = kDrafts;
  options.kv_pages = {16, 16};  // 256 positions
  Start(options);
  Json request = Requests(1)[0];
  request["max_tokens"] = 300;
  for (const bool stream : {false, true}) {
    request["stream"] = stream;
    const ClientReply reply = HttpClient(server_->port()).Post(kChat, request);
    EXPECT_EQ(reply.status, 400);
    EXPECT_THAT(reply.json()["error"]["message"].get<std::string>(),
                AllOf(HasSubstr("the cache has 16 and 16"), HasSubstr("lower max_tokens")));
  }
  request["max_tokens"] = 100;
  request["stream"] = false;
  EXPECT_EQ(HttpClient(server_->port()).Post(kChat, request).status, 200);
}

TEST_F(EndToEndTest, StopStringsCutTheSameTextWithDrafts) {
  Json whole = Requests(1)[0];
  whole["ignore_eos"] = true;
  const std::string text = TextOf(References({whole})[0]);
  ASSERT_GT(text.size(), 20u);
  const std::string stop = text.substr(12, 3);
  Json request = whole;
  request["stop"] = stop;
  const Json answer = HttpClient(server_->port()).Post(kChat, request).json();
  EXPECT_EQ(answer["choices"][0]["message"]["content"], text.substr(0, text.find(stop)));
  EXPECT_EQ(answer["choices"][0]["stop_reason"], stop);
}

}  // namespace
}  // namespace talon

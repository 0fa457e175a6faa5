#include "talon/serve/router.h"

#include <exception>
#include <utility>

#include "talon/serve/generation_call.h"
#include "talon/serve/openai_protocol.h"
#include "talon/serve/request_error.h"

namespace talon {
namespace {

HttpReply JsonReply(const Json& json) {
  HttpReply reply;
  reply.body = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  return reply;
}

HttpResult Generate(GenerationSpec spec, Serving& serving) {
  return std::make_unique<GenerationCall>(std::move(spec), serving.model, serving.worker,
                                          serving.request_timeout);
}

HttpResult Chat(const HttpRequest& request, Serving& serving) {
  return Generate(ParseChatRequest(ParseRequestBody(request.body), serving.model), serving);
}

HttpResult Completions(const HttpRequest& request, Serving& serving) {
  return Generate(ParseCompletionRequest(ParseRequestBody(request.body), serving.model), serving);
}

HttpResult Tokenize(const HttpRequest& request, Serving& serving) {
  return JsonReply(AnswerTokenize(ParseRequestBody(request.body), serving.model));
}

HttpResult Detokenize(const HttpRequest& request, Serving& serving) {
  return JsonReply(AnswerDetokenize(ParseRequestBody(request.body), serving.model));
}

HttpResult Models(const HttpRequest& /*request*/, Serving& serving) {
  return JsonReply(ModelList(serving.model));
}

HttpResult Metrics(const HttpRequest& /*request*/, Serving& serving) {
  HttpReply reply;
  reply.content_type = "text/plain; version=0.0.4; charset=utf-8";
  reply.body = serving.metrics.Render();
  return reply;
}

std::string_view Name(AcceptanceCheck::State state) {
  switch (state) {
    case AcceptanceCheck::State::kPending:
      return "pending";
    case AcceptanceCheck::State::kAsExpected:
      return "as expected";
    case AcceptanceCheck::State::kLow:
      return "low";
    case AcceptanceCheck::State::kFailed:
      return "failed";
  }
  return "?";
}

Json AcceptanceJson(const AcceptanceGuard& guard) {
  const AcceptanceCheck check = guard.check();
  Json json = {{"state", Name(check.state)}, {"expected_length", check.expected_length}};
  const bool measured = check.state == AcceptanceCheck::State::kAsExpected ||
                        check.state == AcceptanceCheck::State::kLow;
  if (measured) json["measured_length"] = check.measured_length;
  return json;
}

constexpr const char* kHealthPath = "/health";
constexpr const char* kVersionPath = "/version";

}  // namespace

struct Router::Route {
  std::string path;
  std::string method;
  HttpResult (*answer)(const HttpRequest&, Serving&);  // null: needs no model
};

const std::vector<Router::Route>& Router::Routes() {
  static const std::vector<Route> routes = {
      {"/v1/chat/completions", "POST", Chat}, {"/v1/completions", "POST", Completions},
      {"/v1/models", "GET", Models},          {"/tokenize", "POST", Tokenize},
      {"/detokenize", "POST", Detokenize},    {"/metrics", "GET", Metrics},
      {kHealthPath, "GET", nullptr},          {kVersionPath, "GET", nullptr},
  };
  return routes;
}

const Router::Route* Router::FindRoute(const std::string& path) {
  for (const Route& route : Routes()) {
    if (route.path == path) return &route;
  }
  return nullptr;
}

void Serving::WatchAcceptance(AcceptanceBaseline baseline,
                              std::function<void(const AcceptanceCheck&)> on_end) {
  const auto end = [this, tell = std::move(on_end)](const AcceptanceCheck& check) {
    if (check.state != AcceptanceCheck::State::kFailed) {
      metrics.SetAcceptance(check.expected_length, check.measured_length,
                            check.state == AcceptanceCheck::State::kLow);
    }
    if (tell) tell(check);
  };
  acceptance = std::make_shared<AcceptanceGuard>(std::move(baseline), end);
  worker.SetIdleWork(acceptance);
}

Router::Router(const std::vector<std::string>& api_keys, std::string version)
    : api_keys_(api_keys), version_(std::move(version)) {}

Router::~Router() = default;

void Router::SetReady(Serving& serving) {
  const std::lock_guard lock(mutex_);
  serving_ = &serving;
}

void Router::SetDraining() {
  const std::lock_guard lock(mutex_);
  draining_ = true;
}

std::unique_ptr<HttpReply> Router::RefuseHead(const HttpRequest& head) const {
  const auto refuse = [](HttpReply reply) { return std::make_unique<HttpReply>(std::move(reply)); };
  if (head.path != kHealthPath && !api_keys_.Accepts(head.authorization)) {
    HttpReply reply =
        MakeErrorReply(401, "this server asks for an API key: Authorization: Bearer KEY");
    reply.headers.emplace_back("WWW-Authenticate", "Bearer");
    return refuse(std::move(reply));
  }
  const Route* route = FindRoute(head.path);
  if (route == nullptr) {
    return refuse(MakeErrorReply(404, "there is nothing at " + head.path.substr(0, 256)));
  }
  if (route->method != head.method) {
    HttpReply reply = MakeErrorReply(405, head.path + " takes " + route->method);
    reply.headers.emplace_back("Allow", route->method);
    return refuse(std::move(reply));
  }
  return nullptr;
}

HttpReply Router::Health() const {
  const std::lock_guard lock(mutex_);
  if (serving_ != nullptr && !draining_) {
    Json health = {{"status", "ok"}};
    if (serving_->acceptance != nullptr) {
      health["acceptance"] = AcceptanceJson(*serving_->acceptance);
    }
    return JsonReply(health);
  }
  HttpReply reply = JsonReply({{"status", draining_ ? "shutting down" : "loading"}});
  reply.status = 503;
  return reply;
}

HttpResult Router::Answer(const Route& route, const HttpRequest& request) {
  if (route.path == kHealthPath) return Health();
  if (route.path == kVersionPath) return JsonReply({{"version", version_}});
  Serving* serving = nullptr;
  {
    const std::lock_guard lock(mutex_);
    serving = serving_;
  }
  if (serving == nullptr) return MakeErrorReply(503, "the model is being loaded");
  return route.answer(request, *serving);
}

HttpResult Router::Handle(const HttpRequest& request) {
  try {
    const Route* route = FindRoute(request.path);
    CheckInternal(route != nullptr, "a route that RefuseHead lets pass");
    return Answer(*route, request);
  } catch (const std::exception& error) {
    return ErrorToReply(error);
  }
}

HttpReply Router::ErrorReply(int status, const std::string& message) const {
  return MakeErrorReply(status, message);
}

}  // namespace talon

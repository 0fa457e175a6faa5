// The server's routes: who may ask, what each path does, and what is answered while the model loads
// or the server drains.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "talon/serve/acceptance_guard.h"
#include "talon/serve/api_keys.h"
#include "talon/serve/engine_worker.h"
#include "talon/serve/http_handler.h"
#include "talon/serve/served_model.h"

namespace talon {

// What is there once the model is loaded. The tokenizer behind `model` outlives it.
struct Serving {
  Serving(ServedModel served, std::unique_ptr<StepEngine> engine, int64_t max_in_flight,
          EngineWorker::Clock::duration timeout)
      : model(std::move(served)),
        request_timeout(timeout),
        metrics(model.names.front(), model.max_model_len, model.num_speculative_tokens),
        worker(std::move(engine), max_in_flight, metrics) {}

  ServedModel model;
  EngineWorker::Clock::duration request_timeout;  // zero: none
  // Compares acceptance with the baseline when there is nothing else to do; `on_end` is told the
  // outcome on the worker's thread.
  void WatchAcceptance(AcceptanceBaseline baseline,
                       std::function<void(const AcceptanceCheck&)> on_end);

  ServingMetrics metrics;
  std::shared_ptr<AcceptanceGuard> acceptance;  // null: there is no baseline
  EngineWorker worker;
};

class Router final : public HttpHandler {
 public:
  Router(const std::vector<std::string>& api_keys, std::string version);
  ~Router() override;

  // From now on requests are answered. `serving` outlives the router's requests.
  void SetReady(Serving& serving);
  // From now on /health says that the server is going; what runs is finished.
  void SetDraining();

  std::unique_ptr<HttpReply> RefuseHead(const HttpRequest& head) const override;
  HttpResult Handle(const HttpRequest& request) override;
  HttpReply ErrorReply(int status, const std::string& message) const override;

 private:
  struct Route;
  static const std::vector<Route>& Routes();
  static const Route* FindRoute(const std::string& path);

  HttpReply Health() const;
  HttpResult Answer(const Route& route, const HttpRequest& request);

  const ApiKeys api_keys_;
  const std::string version_;
  mutable std::mutex mutex_;
  Serving* serving_ = nullptr;  // null: loading
  bool draining_ = false;
};

}  // namespace talon

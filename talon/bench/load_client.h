// Load on an OpenAI-compatible server, as `vllm bench serve` puts it: streamed requests at a rate
// or a concurrency, each timed as its pieces arrive. Needs no model; works on any server with these
// endpoints.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "talon/base/json.h"

namespace talon {

struct ServerAddress {
  std::string host = "127.0.0.1";
  uint16_t port = 8000;
  std::string api_key;  // empty: none
};

struct Traffic {
  double requests_per_second = std::numeric_limits<double>::infinity();
  // 1: gaps of a Poisson process; below: burstier, above: more even (gamma distribution).
  double burstiness = 1.0;
  int64_t max_concurrency = 0;  // requests in flight; 0: no limit
  uint64_t seed = 0;
};

// What became of one request; times in seconds.
struct RequestTiming {
  bool success = false;
  std::string error;
  double queue_s = 0.0;        // waited for others to end, because of max_concurrency
  double start_s = 0.0;        // since the load began
  double first_token_s = 0.0;  // since the request's start
  double latency_s = 0.0;      // from start to last piece
  std::vector<double> gaps_s;  // between pieces
  int64_t input_tokens = 0;
  int64_t output_tokens = 0;
  std::string text;
};

struct LoadResult {
  double duration_s = 0.0;
  std::vector<RequestTiming> requests;  // in the order of the bodies
};

// GET or, with a body, POST; throws kFailedPrecondition with what the server said unless it is 200.
std::string AskServer(const ServerAddress& server, const std::string& path,
                      const std::string& body = "");

// Posts every body, which asks for a stream with usage, to `path`; `on_done`, which may be empty,
// is called after each.
LoadResult RunLoad(const ServerAddress& server, const std::string& path,
                   const std::vector<Json>& bodies, const Traffic& traffic,
                   const std::function<void()>& on_done = nullptr);

}  // namespace talon

// A served model without weights: the byte tokenizer, the scripted engine, a Gemma 4 chat format.
#pragma once

#include <memory>
#include <string>

#include "talon/base/json.h"
#include "talon/serve/router.h"
#include "tests/serve/byte_tokenizer.h"
#include "tests/serve/scripted_engine.h"

namespace talon::test {

// "tiny" with a context of 512 tokens; answers end at <eos> or <turn|>.
ServedModel TinyServedModel(const Tokenizer& tokenizer);

// A router over a scripted engine, ready to answer.
class ScriptedServer {
 public:
  explicit ScriptedServer(std::vector<std::string> api_keys = {}, int64_t max_in_flight = 16,
                          std::chrono::milliseconds timeout = {},
                          std::shared_ptr<EngineScript> script = std::make_shared<EngineScript>());

  Router& router() { return router_; }
  EngineScript& script() { return *script_; }
  Serving& serving() { return *serving_; }

  // Handles a request as the network would and waits for the whole reply; an event stream's bytes
  // are the reply's body.
  HttpReply Ask(const std::string& method, const std::string& path, const std::string& body = "");
  // POST of JSON; expects `status` and returns the JSON answer.
  Json Post(const std::string& path, const Json& body, int status = 200);

 private:
  ByteTokenizer tokenizer_;
  std::shared_ptr<EngineScript> script_;
  Router router_;
  std::unique_ptr<Serving> serving_;
};

// The JSON of every "data:" event but [DONE]; expects well-formed events that end with [DONE].
std::vector<Json> ParseEvents(const std::string& stream);

}  // namespace talon::test

// The flags of `talon serve`: vLLM's names and meanings where it has them, their `--no-...` forms,
// and those that are accepted without effect so that a command line written for vLLM works.
#pragma once

#include <CLI/CLI.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "apps/talon/session.h"
#include "talon/engine/engine.h"
#include "talon/serve/http_server.h"
#include "talon/serve/speculative_config.h"

namespace talon {

struct ServeFlags {
  SessionFlags session;
  std::string speculative_config;  // JSON; empty: no drafter
  HttpServerOptions http;
  std::vector<std::string> api_keys;
  bool allow_unauthenticated = false;
  std::vector<std::string> served_model_names;
  std::string max_model_len = "auto";
  int64_t max_num_seqs = 8;
  std::string max_num_batched_tokens = "2048";
  std::string kv_cache_dtype = "auto";
  double gpu_memory_utilization = 0.92;
  std::string kv_cache_memory_bytes;  // empty: what gpu_memory_utilization leaves
  bool enable_prefix_caching = true;
  bool enable_chunked_prefill = true;
  int64_t max_num_queued_reqs = 256;
  std::string generation_config = "auto";
  std::string reasoning_parser;
  std::string per_request_spec_decode_metrics = "none";
  int64_t shutdown_timeout_s = 30;
  double request_timeout_s = 0.0;  // 0: none
  bool disable_log_stats = false;
  std::vector<std::string> notes;  // one line for each flag that has no effect
};

// Declares the flags.
void AddServeFlags(CLI::App& command, ServeFlags& flags);

// The checks that need no model; throws kInvalidArgument or kUnsupported naming the flag.
void CheckServeFlags(const ServeFlags& flags);

// What the flags say about the engine; the number of drafts, and what depends on the checkpoint or
// the memory, is the caller's.
EngineOptions ToEngineOptions(const ServeFlags& flags);

// "8192", "8k" (8,000), "8K" (8,192), "1.5M"; as vLLM reads them. Throws kInvalidArgument.
int64_t ParseHumanInteger(const std::string& flag, const std::string& text);

}  // namespace talon

#include "apps/talon/serve_flags.h"

#include <array>
#include <cmath>
#include <string_view>

#include "talon/base/error.h"
#include "talon/serve/served_model.h"

namespace talon {
namespace {

struct NoEffectFlag {
  const char* names;
  bool takes_value;
  const char* reason;
};

constexpr std::array<NoEffectFlag, 16> kNoEffect = {{
    {"--trust-remote-code", false, "no code of a checkpoint is ever run"},
    {"--enforce-eager", false, "results do not depend on how steps are launched"},
    {"--quantization,-q", true, "the weights' format is read from the checkpoint"},
    {"--load-format", true, "weights are read from safetensors"},
    {"--seed", true, "requests without a seed get a random one"},
    {"--block-size", true, "the KV cache has pages of a fixed size"},
    {"--enable-auto-tool-choice,!--no-enable-auto-tool-choice", false,
     "tool calls are not read out of answers"},
    {"--tool-call-parser", true, "tool calls are not read out of answers"},
    {"--limit-mm-per-prompt", true, "prompts are text"},
    {"--language-model-only,!--no-language-model-only", false, "prompts are text"},
    {"--async-scheduling,!--no-async-scheduling", false, "there is one scheduler"},
    {"--enable-log-requests,!--no-enable-log-requests", false, "requests are not logged"},
    {"--disable-log-requests", false, "requests are not logged"},
    {"--disable-uvicorn-access-log", false, "requests are not logged"},
    {"--uvicorn-log-level", true, "requests are not logged"},
    {"--tokenizer-mode", true, "there is one tokenizer"},
}};

void AddNoEffectFlags(CLI::App& command, ServeFlags& flags) {
  for (const NoEffectFlag& flag : kNoEffect) {
    const std::string names = flag.names;
    const auto note = [&flags, names, flag](const std::string&) {
      flags.notes.push_back(
          fmt::format("{}: no effect; {}", names.substr(0, names.find(',')), flag.reason));
    };
    CLI::Option* option = flag.takes_value
                              ? command.add_option_function<std::string>(names, note)
                              : command.add_flag_function(names, [note](int64_t) { note(""); });
    option->group("Accepted without effect")->description(flag.reason);
  }
}

void AddNetworkFlags(CLI::App& command, ServeFlags& flags) {
  command.add_option("--host", flags.http.host, "address to listen on")->capture_default_str();
  command.add_option("--port", flags.http.port, "0: any free one")->capture_default_str();
  command
      .add_option("--api-key", flags.api_keys,
                  "key that requests must carry (Authorization: Bearer KEY); may be repeated")
      ->envname("VLLM_API_KEY")
      ->allow_extra_args(false);
  command.add_flag("--allow-unauthenticated", flags.allow_unauthenticated,
                   "listen on other than the local machine without a key");
  command
      .add_option("--max-num-queued-reqs", flags.max_num_queued_reqs,
                  "requests queued or running at a time; more get 429 and a time to retry")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  command
      .add_option("--request-timeout", flags.request_timeout_s,
                  "seconds after which a request is ended; 0: never")
      ->check(CLI::Range(0.0, 1e9))
      ->capture_default_str();
  command
      .add_option("--shutdown-timeout", flags.shutdown_timeout_s,
                  "seconds that requests may go on after SIGTERM")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 20))
      ->capture_default_str();
}

void AddKvCacheFlags(CLI::App& command, ServeFlags& flags) {
  command
      .add_option("--kv-cache-dtype", flags.kv_cache_dtype,
                  "auto (fp8 where the checkpoint says so, else as --dtype), bfloat16, or fp8 "
                  "(E4M3, scales from the checkpoint or 1.0)")
      ->check(CLI::IsMember(KvCacheDTypeNames()))
      ->capture_default_str();
  command
      .add_option("--gpu-memory-utilization", flags.gpu_memory_utilization,
                  "share of the GPU's memory (on a CPU: of the memory that is available) for "
                  "weights, activations and KV cache")
      ->check(CLI::Range(0.01, 1.0))
      ->capture_default_str();
  command.add_option("--kv-cache-memory-bytes", flags.kv_cache_memory_bytes,
                     "most bytes of KV cache (512M, 2G), instead of --gpu-memory-utilization");
  command.add_flag("--enable-prefix-caching,!--no-enable-prefix-caching",
                   flags.enable_prefix_caching,
                   "keep the KV of earlier prompts and answers for later requests (default)");
}

void AddEngineFlags(CLI::App& command, ServeFlags& flags) {
  command.add_option(
      "--speculative-config", flags.speculative_config,
      R"(JSON: {"model": DRAFTER, "num_speculative_tokens": 3, "method": "eagle3"})");
  command
      .add_option("--max-model-len", flags.max_model_len,
                  "context of one request in tokens (8192, 8k, 8K); auto: the model's, or what the "
                  "memory holds")
      ->capture_default_str();
  command.add_option("--max-num-seqs", flags.max_num_seqs, "requests that run at a time")
      ->check(CLI::Range(int64_t{1}, int64_t{4096}))
      ->capture_default_str();
  command
      .add_option("--max-num-batched-tokens", flags.max_num_batched_tokens,
                  "tokens of one step; longer prompts are read in chunks")
      ->capture_default_str();
  command.add_flag("--enable-chunked-prefill,!--no-enable-chunked-prefill",
                   flags.enable_chunked_prefill,
                   "read prompts in pieces beside running answers (default), or whole");
  AddKvCacheFlags(command, flags);
  command.add_option("--tensor-parallel-size,--tp")
      ->check(CLI::IsMember({1}))
      ->description("1")
      ->group("Checked");
}

void AddModelFlags(CLI::App& command, ServeFlags& flags) {
  command.add_option("--served-model-name", flags.served_model_names,
                     "names that requests may use; the first one is reported");
  command
      .add_option(
          "--generation-config", flags.generation_config,
          "where sampling defaults come from: auto (the checkpoint), vllm (neutral ones) or "
          "a folder")
      ->capture_default_str();
  command.add_option("--reasoning-parser", flags.reasoning_parser, "gemma4 (always on)")
      ->check(CLI::IsMember({"gemma4"}))
      ->group("Checked");
  command
      .add_option("--per-request-spec-decode-metrics", flags.per_request_spec_decode_metrics,
                  "acceptance figures in every answer: none, summary or detailed")
      ->check(CLI::IsMember({"none", "summary", "detailed"}))
      ->capture_default_str();
  command.add_flag("--disable-log-stats", flags.disable_log_stats,
                   "no lines about throughput and acceptance");
}

bool IsLocal(const std::string& host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

}  // namespace

void AddServeFlags(CLI::App& command, ServeFlags& flags) {
  command
      .add_option("model,--model", flags.session.verifier,
                  "verifier, or a drafter that names its verifier: folder or org/name[@revision]")
      ->required();
  AddModelFlags(command, flags);
  AddEngineFlags(command, flags);
  AddNetworkFlags(command, flags);
  AddSessionFlags(command, flags.session);
  AddNoEffectFlags(command, flags);
}

void CheckServeFlags(const ServeFlags& flags) {
  if (flags.api_keys.empty() && !flags.allow_unauthenticated && !IsLocal(flags.http.host)) {
    Throw(ErrorCode::kInvalidArgument,
          "--host {} lets others in; give --api-key, or --allow-unauthenticated to serve everyone",
          flags.http.host);
  }
  for (const std::string& key : flags.api_keys) {
    if (key.empty()) Throw(ErrorCode::kInvalidArgument, "--api-key is empty");
  }
  ToEngineOptions(flags);
  if (!flags.speculative_config.empty()) ParseSpeculativeConfig(flags.speculative_config);
}

EngineOptions ToEngineOptions(const ServeFlags& flags) {
  EngineOptions options;
  options.max_num_seqs = flags.max_num_seqs;
  options.max_num_batched_tokens =
      ParseHumanInteger("--max-num-batched-tokens", flags.max_num_batched_tokens);
  const bool automatic = flags.max_model_len == "auto" || flags.max_model_len == "-1";
  options.max_model_len = automatic ? 0 : ParseHumanInteger("--max-model-len", flags.max_model_len);
  options.enable_chunked_prefill = flags.enable_chunked_prefill;
  options.enable_prefix_caching = flags.enable_prefix_caching;
  options.kv_dtype =
      ParseKvCacheDType(flags.kv_cache_dtype).value_or(ParseDType(flags.session.dtype));
  if (!flags.kv_cache_memory_bytes.empty()) {
    options.kv_cache_bytes =
        ParseHumanInteger("--kv-cache-memory-bytes", flags.kv_cache_memory_bytes);
  }
  return options;
}

int64_t ParseHumanInteger(const std::string& flag, const std::string& text) {
  constexpr std::string_view kDecimal = "kmg";
  constexpr std::string_view kBinary = "KMG";
  const auto refuse = [&] {
    Throw(ErrorCode::kInvalidArgument,
          "{} is '{}'; expected a whole number above 0 such as 8192, 8k "
          "or 8K",
          flag, text);
  };
  double number = 0.0;
  size_t end = 0;
  try {
    number = std::stod(text, &end);
  } catch (const std::exception&) {
    refuse();
  }
  if (end + 1 == text.size()) {
    const size_t decimal = kDecimal.find(text.back());
    const size_t binary = kBinary.find(text.back());
    if (decimal == std::string_view::npos && binary == std::string_view::npos) refuse();
    number *= decimal != std::string_view::npos ? std::pow(1000.0, static_cast<double>(decimal + 1))
                                                : std::pow(1024.0, static_cast<double>(binary + 1));
  } else if (end != text.size()) {
    refuse();
  }
  if (!(number >= 1.0 && number <= 1e12) || number != std::trunc(number)) refuse();
  return static_cast<int64_t>(number);
}

}  // namespace talon

#include "talon/serve/speculative_config.h"

#include "talon/serve/request_error.h"
#include "talon/serve/request_fields.h"

namespace talon {
namespace {

constexpr int64_t kMaxSpeculativeTokens = 32;

// A key whose only implemented value is `only`.
void CheckOnly(RequestFields& fields, const std::string& key, const std::string& only) {
  const auto value = fields.String(key);
  if (!value || *value == only) return;
  throw RequestError(ErrorCode::kUnsupported,
                     fmt::format("{} is '{}'; Talon implements '{}' only", key, *value, only), key);
}

void ReadNumberOfDrafts(RequestFields& fields, SpeculativeConfig& config) {
  const Json* value = fields.Find("num_speculative_tokens");
  if (value != nullptr && *value == "auto") {
    throw RequestError(
        ErrorCode::kUnsupported,
        "num_speculative_tokens 'auto' is not implemented; give a number, or leave it "
        "out for the drafter's own",
        "num_speculative_tokens");
  }
  config.num_speculative_tokens =
      fields.Integer("num_speculative_tokens", 1, kMaxSpeculativeTokens);
}

std::optional<DType> ReadKvCacheDType(RequestFields& fields) {
  const std::string name = fields.String("kv_cache_dtype").value_or("auto");
  try {
    return ParseKvCacheDType(name);
  } catch (const Error& error) {
    throw RequestError(error.code(), fmt::format("kv_cache_dtype is {}", error.what()),
                       "kv_cache_dtype");
  }
}

SpeculativeConfig Read(const Json& json) {
  RequestFields fields(json);
  SpeculativeConfig config;
  CheckOnly(fields, "method", "eagle3");
  config.model = fields.String("model").value_or("");
  if (config.model.empty()) {
    RefuseField("model", "is missing; expected the drafter's folder or name");
  }
  if (const auto revision = fields.String("revision")) config.model += "@" + *revision;
  ReadNumberOfDrafts(fields, config);
  config.kv_cache_dtype = ReadKvCacheDType(fields);
  fields.Integer("draft_tensor_parallel_size", 1, 1);
  CheckOnly(fields, "draft_sample_method", "greedy");
  CheckOnly(fields, "rejection_sample_method", "standard");
  fields.Unsupported({"num_speculative_tokens_per_batch_size", "max_model_len", "parallel_drafting",
                      "use_heterogeneous_vocab", "prompt_lookup_max", "prompt_lookup_min",
                      "synthetic_acceptance_rates", "synthetic_acceptance_length",
                      "enable_adaptive_verification", "index_share_for_mtp_iteration",
                      "tensor_parallel_size", "draft_load_config", "dspark_draft_topk"});
  for (const char* key :
       {"enforce_eager", "quantization", "code_revision", "moe_backend", "attention_backend",
        "disable_padded_drafter_batch", "disable_eagle_block_drop", "use_local_argmax_reduction"}) {
    if (fields.Find(key) != nullptr) config.without_effect.emplace_back(key);
  }
  fields.RefuseUnknown();
  return config;
}

}  // namespace

const std::vector<std::string>& KvCacheDTypeNames() {
  static const std::vector<std::string> names = {"auto", "bfloat16", "fp8", "fp8_e4m3"};
  return names;
}

std::optional<DType> ParseKvCacheDType(const std::string& name) {
  if (name == "auto") return std::nullopt;
  if (name == "bfloat16") return DType::kBF16;
  if (name == "fp8" || name == "fp8_e4m3") return DType::kF8E4M3;
  Throw(ErrorCode::kInvalidArgument, "'{}'; expected one of {}", name,
        fmt::join(KvCacheDTypeNames(), ", "));
}

SpeculativeConfig ParseSpeculativeConfig(std::string_view json) {
  try {
    return Read(ParseJson(json, "the JSON"));
  } catch (const Error& error) {
    const bool malformed = error.code() == ErrorCode::kDataLoss;
    Throw(malformed ? ErrorCode::kInvalidArgument : error.code(), "--speculative-config: {}",
          error.what());
  }
}

}  // namespace talon

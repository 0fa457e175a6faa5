#include "talon/serve/speculative_config.h"

#include <algorithm>

#include "talon/serve/request_error.h"
#include "talon/serve/request_fields.h"

namespace talon {
namespace {

constexpr int64_t kMaxSpeculativeTokens = 32;
constexpr int64_t kMaxBatchSize = 4096;

// A key whose only implemented value is `only`.
void CheckOnly(RequestFields& fields, const std::string& key, const std::string& only) {
  const auto value = fields.String(key);
  if (!value || *value == only) return;
  throw RequestError(ErrorCode::kUnsupported,
                     fmt::format("{} is '{}'; Talon implements '{}' only", key, *value, only), key);
}

constexpr const char* kNumber = "num_speculative_tokens";
constexpr const char* kTable = "num_speculative_tokens_per_batch_size";

struct BatchSizeRange {
  int64_t first = 0;
  int64_t last = 0;
  int64_t drafts = 0;
};

BatchSizeRange ReadRange(const Json& entry) {
  const bool three = entry.is_array() && entry.size() == 3;
  for (size_t i = 0; i < 3; ++i) {
    const bool fits = three && entry[i].is_number_integer() && entry[i] >= (i < 2 ? 1 : 0) &&
                      entry[i] <= (i < 2 ? kMaxBatchSize : kMaxSpeculativeTokens);
    if (fits) continue;
    RefuseField(kTable,
                "has the entry {}; expected [first batch size, last batch size, drafts], sizes "
                "from 1 to {}, drafts from 0 to {}",
                entry.dump(), kMaxBatchSize, kMaxSpeculativeTokens);
  }
  return {entry[0].get<int64_t>(), entry[1].get<int64_t>(), entry[2].get<int64_t>()};
}

// As vLLM reads the table: ranges that start at 1 and do not overlap; a gap takes the number before
// it.
std::vector<int64_t> ReadTable(const Json& table) {
  if (!table.is_array() || table.empty()) RefuseField(kTable, "is not a list of ranges");
  std::vector<BatchSizeRange> ranges;
  for (const Json& entry : table) ranges.push_back(ReadRange(entry));
  std::sort(ranges.begin(), ranges.end(),
            [](const BatchSizeRange& a, const BatchSizeRange& b) { return a.first < b.first; });
  std::vector<int64_t> drafts;
  for (const BatchSizeRange& range : ranges) {
    const auto known = std::ssize(drafts);
    if (range.last < range.first || range.first <= known || (known == 0 && range.first != 1)) {
      RefuseField(kTable, "has the range {} to {}; ranges start at 1 and must not overlap",
                  range.first, range.last);
    }
    if (known > 0) drafts.resize(static_cast<size_t>(range.first - 1), drafts.back());
    drafts.resize(static_cast<size_t>(range.last), range.drafts);
  }
  return drafts;
}

void ReadNumberOfDrafts(RequestFields& fields, SpeculativeConfig& config) {
  const Json* number = fields.Find(kNumber);
  if (number == nullptr || *number != "auto") {
    config.num_speculative_tokens = fields.Integer(kNumber, 1, kMaxSpeculativeTokens);
  }
  const Json* table = fields.Find(kTable);
  if (table == nullptr) return;
  if (number != nullptr && *number == "auto") {
    RefuseField(kTable,
                "says how many drafts there are, and so does num_speculative_tokens, "
                "'auto'; give one of them");
  }
  config.drafts_by_batch_size = ReadTable(*table);
  const int64_t most =
      *std::max_element(config.drafts_by_batch_size.begin(), config.drafts_by_batch_size.end());
  if (most > config.num_speculative_tokens.value_or(most)) {
    RefuseField(kTable, "asks for {} drafts, num_speculative_tokens allows {}", most,
                *config.num_speculative_tokens);
  }
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
  fields.Unsupported({"max_model_len", "parallel_drafting", "use_heterogeneous_vocab",
                      "prompt_lookup_max", "prompt_lookup_min", "synthetic_acceptance_rates",
                      "synthetic_acceptance_length", "enable_adaptive_verification",
                      "index_share_for_mtp_iteration", "tensor_parallel_size", "draft_load_config",
                      "dspark_draft_topk"});
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

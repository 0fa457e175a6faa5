// The fields that chat and text completions have in common.
#include <algorithm>
#include <charconv>
#include <limits>

#include "talon/base/error.h"
#include "talon/serve/openai_protocol.h"
#include "talon/serve/request_error.h"

namespace talon {
namespace {

constexpr int64_t kInt64Min = std::numeric_limits<int64_t>::min();
constexpr int64_t kInt64Max = std::numeric_limits<int64_t>::max();
// Logits stay finite between these.
constexpr double kLeastRepetition = 1e-4;
constexpr double kMostRepetition = 1e4;
constexpr double kGreedyBelow = 1e-5;  // vLLM's _SAMPLING_EPS

void ReadSampling(RequestFields& fields, const ServedModel& model, GenerationSpec& spec) {
  const SamplingDefaults& defaults = model.sampling;
  SamplingParams& sampling = spec.sampling;
  sampling.temperature = fields.Number("temperature", 0.0, 2.0).value_or(defaults.temperature);
  if (sampling.temperature < kGreedyBelow) sampling.temperature = 0.0;
  // -1 is vLLM's older way of saying "off".
  sampling.top_k =
      std::max(int64_t{0}, fields.Integer("top_k", -1, kInt64Max).value_or(defaults.top_k));
  sampling.top_k = std::min<int64_t>(sampling.top_k, model.vocab_size);
  sampling.top_p = fields.Number("top_p", 0.0, 1.0).value_or(defaults.top_p);
  if (sampling.top_p == 0.0) RefuseField(fields.Path("top_p"), "is 0; expected more than 0");
  sampling.min_p = fields.Number("min_p", 0.0, 1.0).value_or(0.0);
  spec.seed = fields.Integer("seed", kInt64Min, kInt64Max);
  spec.n = fields.Integer("n", 1, kMaxAnswersPerPrompt).value_or(1);
}

// {"7": 1.5, ...}
std::vector<std::pair<int32_t, float>> ReadLogitBias(RequestFields& fields, int32_t vocab_size) {
  std::vector<std::pair<int32_t, float>> biases;
  const Json* object = fields.Find("logit_bias");
  if (object == nullptr) return biases;
  if (!object->is_object()) {
    RefuseField("logit_bias", "is {}; expected an object of token ids and numbers",
                Describe(*object));
  }
  RequestFields entries(*object, "logit_bias.");
  for (const auto& [key, value] : object->items()) {
    int32_t id = -1;
    const char* end = key.data() + key.size();
    const auto [rest, error] = std::from_chars(key.data(), end, id);
    // "07" would name token 7 a second time.
    if (error != std::errc() || rest != end || id < 0 || id >= vocab_size ||
        key != std::to_string(id)) {
      RefuseField("logit_bias", "has the key '{}'; expected a token id from 0 to {}",
                  key.substr(0, 64), vocab_size - 1);
    }
    const double bias = entries.Number(key, -100.0, 100.0).value_or(0.0);
    biases.emplace_back(id, static_cast<float>(bias));
  }
  return biases;
}

// What looks at the answer so far.
void ReadPenalties(RequestFields& fields, const ServedModel& model, SamplingParams& sampling) {
  sampling.presence_penalty = fields.Number("presence_penalty", -2.0, 2.0).value_or(0.0);
  sampling.frequency_penalty = fields.Number("frequency_penalty", -2.0, 2.0).value_or(0.0);
  sampling.repetition_penalty =
      fields.Number("repetition_penalty", kLeastRepetition, kMostRepetition).value_or(1.0);
  sampling.logit_bias = ReadLogitBias(fields, model.vocab_size);
  sampling.min_tokens = fields.Integer("min_tokens", 0, INT64_MAX).value_or(0);
}

std::string CheckedStop(const Json& stop, const std::string& path) {
  if (!stop.is_string()) RefuseField(path, "is {}; expected a string", Describe(stop));
  const auto& text = stop.get_ref<const std::string&>();
  if (text.empty() || text.size() > kMaxStopStringBytes) {
    RefuseField(path, "has {} bytes; expected 1 to {}", text.size(), kMaxStopStringBytes);
  }
  return text;
}

void ReadStops(RequestFields& fields, const ServedModel& model, GenerationSpec& spec) {
  if (const Json* stop = fields.Find("stop"); stop != nullptr && stop->is_array()) {
    if (stop->size() > kMaxStopStrings) {
      RefuseField(fields.Path("stop"), "has {} entries; expected at most {}", stop->size(),
                  kMaxStopStrings);
    }
    for (const Json& entry : *stop) {
      spec.stop.push_back(CheckedStop(entry, fmt::format("stop[{}]", spec.stop.size())));
    }
  } else if (stop != nullptr) {
    spec.stop.push_back(CheckedStop(*stop, fields.Path("stop")));
  }
  spec.stop_token_ids = fields.Integers("stop_token_ids", 0, model.vocab_size - 1, kMaxStopTokenIds)
                            .value_or(std::vector<int32_t>());
  spec.ignore_eos = fields.Bool("ignore_eos").value_or(false);
  spec.include_stop_str_in_output = fields.Bool("include_stop_str_in_output").value_or(false);
}

void ReadStreaming(RequestFields& fields, GenerationSpec& spec) {
  spec.stream = fields.Bool("stream").value_or(false);
  const Json* options = fields.Find("stream_options");
  if (options == nullptr) return;
  if (!spec.stream) RefuseField("stream_options", "is set although stream is not true");
  RequestFields inner(*options, "stream_options.");
  spec.include_usage = inner.Bool("include_usage").value_or(false);
  spec.continuous_usage =
      spec.include_usage && inner.Bool("continuous_usage_stats").value_or(false);
  inner.Ignore({"include_obfuscation", "continuous_usage_stats"});
  inner.RefuseUnknown();
}

void ReadSpecMetrics(RequestFields& fields, const ServedModel& model, GenerationSpec& spec) {
  spec.spec_metrics = model.spec_metrics;
  const auto name = fields.String("per_request_spec_decode_metrics");
  if (!name) return;
  const auto level = ParseSpecMetricsLevel(*name);
  if (!level) {
    RefuseField("per_request_spec_decode_metrics", "is '{}'; expected none, summary or detailed",
                name->substr(0, 64));
  }
  spec.spec_metrics = *level;
}

// What the engine or this layer does not do; a value that asks for nothing is accepted.
void RefuseUnsupported(RequestFields& fields) {
  fields.Unsupported(
      {"use_beam_search", "prompt_logprobs",      "logprob_token_ids",  "allowed_token_ids",
       "bad_words",       "structured_outputs",   "priority",           "truncate_prompt_tokens",
       "truncation_side", "repetition_detection", "kv_transfer_params", "ec_transfer_params",
       "vllm_xargs",      "prompt_embeds",        "watermarking",       "return_token_offsets",
       "guided_json",     "guided_regex",         "guided_choice",      "guided_grammar"});
  fields.Unsupported({"length_penalty", "stream_interval"}, 1);
  fields.Unsupported({"thinking_token_budget"}, -1);
  fields.Unsupported({"response_format"}, Json{{"type", "text"}});
  fields.Ignore({"user", "request_id", "session_id", "metadata", "store", "service_tier",
                 "safety_identifier", "prompt_cache_key", "cache_salt", "prompt_cache_retention",
                 "spaces_between_special_tokens"});
}

}  // namespace

std::optional<SpecMetricsLevel> ParseSpecMetricsLevel(const std::string& name) {
  if (name == "none") return SpecMetricsLevel::kNone;
  if (name == "summary") return SpecMetricsLevel::kSummary;
  if (name == "detailed") return SpecMetricsLevel::kDetailed;
  return std::nullopt;
}

Json ParseRequestBody(std::string_view body) {
  try {
    return ParseJson(body, "the request");
  } catch (const Error& error) {
    throw RequestError(ErrorCode::kInvalidArgument, error.what(), "");
  }
}

std::string ReadModelName(RequestFields& fields, const ServedModel& model) {
  const auto name = fields.String("model");
  if (!name || name->empty()) return model.names.front();
  if (std::find(model.names.begin(), model.names.end(), *name) == model.names.end()) {
    throw RequestError(ErrorCode::kNotFound,
                       fmt::format("the model '{}' is not served here; this server has '{}'",
                                   name->substr(0, 256), model.names.front()),
                       "model");
  }
  return *name;
}

void ReadSharedFields(RequestFields& fields, const ServedModel& model, GenerationSpec& spec) {
  spec.model = ReadModelName(fields, model);
  ReadSampling(fields, model, spec);
  ReadPenalties(fields, model, spec.sampling);
  ReadStops(fields, model, spec);
  ReadStreaming(fields, spec);
  ReadSpecMetrics(fields, model, spec);
  spec.skip_special_tokens = fields.Bool("skip_special_tokens").value_or(true);
  spec.return_token_ids = fields.Bool("return_token_ids").value_or(false);
  spec.return_tokens_as_token_ids = fields.Bool("return_tokens_as_token_ids").value_or(false);
  RefuseUnsupported(fields);
}

}  // namespace talon

// POST /v1/completions, the request.
#include "talon/serve/openai_protocol.h"
#include "talon/serve/request_error.h"

namespace talon {
namespace {

class PromptReader {
 public:
  PromptReader(const ServedModel& model, bool add_special_tokens, bool echo, GenerationSpec& spec)
      : model_(model), add_special_tokens_(add_special_tokens), echo_(echo), spec_(spec) {}

  // A text, token ids, a list of texts or a list of lists of token ids.
  void Read(RequestFields& fields) {
    const Json& prompt = fields.Require("prompt");
    if (prompt.is_string()) return AddText(prompt);
    if (!prompt.is_array() || prompt.empty()) {
      RefuseField("prompt", "is {}; expected a text, token ids or a list of these",
                  prompt.is_array() ? "an empty list" : Describe(prompt));
    }
    if (prompt.front().is_number()) return AddIds(prompt, "prompt");
    if (prompt.size() > kMaxPromptsPerRequest) {
      RefuseField("prompt", "has {} prompts; expected at most {}", prompt.size(),
                  kMaxPromptsPerRequest);
    }
    for (const Json& entry : prompt) {
      const std::string path = fmt::format("prompt[{}]", spec_.prompts.size());
      if (entry.is_string() && prompt.front().is_string()) {
        AddText(entry);
      } else if (entry.is_array() && prompt.front().is_array()) {
        AddIds(entry, path);
      } else {
        RefuseField(path, "is {}; expected the same kind as prompt[0]", Describe(entry));
      }
    }
  }

 private:
  void AddText(const Json& prompt) {
    const auto& text = prompt.get_ref<const std::string&>();
    spec_.prompts.push_back(add_special_tokens_ ? EncodePrompt(*model_.tokenizer, text)
                                                : model_.tokenizer->Encode(text));
    if (echo_) spec_.echo_texts.push_back(text);
  }

  void AddIds(const Json& prompt, const std::string& path) {
    const Json wrapped = {{path, prompt}};
    RequestFields ids(wrapped);
    spec_.prompts.push_back(
        *ids.Integers(path, 0, model_.vocab_size - 1, static_cast<size_t>(INT32_MAX)));
    if (echo_) {
      spec_.echo_texts.push_back(
          model_.tokenizer->Decode(spec_.prompts.back(), spec_.skip_special_tokens));
    }
  }

  const ServedModel& model_;
  bool add_special_tokens_;
  bool echo_;
  GenerationSpec& spec_;
};

}  // namespace

GenerationSpec ParseCompletionRequest(const Json& body, const ServedModel& model) {
  RequestFields fields(body);
  GenerationSpec spec;
  spec.endpoint = Endpoint::kCompletions;
  ReadSharedFields(fields, model, spec);
  constexpr int64_t kDefaultMaxTokens = 16;  // OpenAI's
  const bool echo = fields.Bool("echo").value_or(false);
  spec.max_tokens =
      fields.Integer("max_tokens", echo ? 0 : 1, INT64_MAX).value_or(kDefaultMaxTokens);
  spec.prompt_only = spec.max_tokens == 0;
  spec.sampling.num_logprobs = fields.Integer("logprobs", 0, kMaxLogprobs).value_or(-1);
  if (echo) spec.sampling.num_prompt_logprobs = spec.sampling.num_logprobs;
  const auto best_of = fields.Integer("best_of", 1, kMaxAnswersPerPrompt);
  if (best_of && *best_of != spec.n) {
    RefuseField("best_of", "is {}; this server returns every answer: leave it out or set it to n",
                *best_of);
  }
  fields.Unsupported({"suffix"});
  const bool add_special_tokens = fields.Bool("add_special_tokens").value_or(true);
  PromptReader(model, add_special_tokens, echo, spec).Read(fields);
  fields.RefuseUnknown();
  return spec;
}

}  // namespace talon

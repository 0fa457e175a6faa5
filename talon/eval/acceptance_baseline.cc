#include "talon/eval/acceptance_baseline.h"

#include <algorithm>
#include <map>

#include "talon/base/atomic_output.h"
#include "talon/base/error.h"
#include "talon/base/json.h"

namespace talon {
namespace {

constexpr std::string_view kFormat = "talon-acceptance-1";
constexpr size_t kPrompts = 8;
constexpr int64_t kTokens = 64;

// The rounds that an engine runs for `max_tokens` tokens: the first token comes from the prompt, a
// round brings its accepted drafts and one more.
AcceptanceCounts CountWithin(std::span<const Round> rounds, int64_t max_tokens) {
  AcceptanceCounts counts;
  int64_t tokens = 1;
  for (const Round& round : rounds) {
    if (tokens >= max_tokens) break;
    counts.Add(round);
    tokens += 1 + round.accepted;
  }
  return counts;
}

// Indices of the prompts, the shortest of every category first, then the second shortest.
std::vector<size_t> ByRankInCategory(const TraceStore& store, std::span<const TraceKey> keys) {
  std::map<std::string, std::vector<std::pair<int64_t, size_t>>> categories;
  for (size_t i = 0; i < keys.size(); ++i) {
    const Trace trace = store.Read(keys[i]);
    categories[trace.category].emplace_back(trace.prompt_tokens, i);
  }
  std::vector<std::pair<size_t, size_t>> ranked;
  for (auto& [category, prompts] : categories) {
    std::sort(prompts.begin(), prompts.end());
    for (size_t rank = 0; rank < prompts.size(); ++rank) {
      ranked.emplace_back(rank, prompts[rank].second);
    }
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<size_t> order;
  for (const auto& [rank, index] : ranked) order.push_back(index);
  return order;
}

Json PromptJson(const BaselinePrompt& prompt) {
  return {{"id", prompt.id},
          {"prompt_ids", prompt.prompt_ids},
          {"max_tokens", prompt.max_tokens},
          {"drafts", prompt.drafts},
          {"accepted", prompt.accepted}};
}

// Fields of one object of the file, checked.
class Reader {
 public:
  Reader(const Json& object, std::string source) : object_(object), source_(std::move(source)) {
    if (!object.is_object()) Throw(ErrorCode::kDataLoss, "{}: not a JSON object", source_);
  }

  template <typename T>
  T Get(const char* field) const {
    try {
      return object_.at(field).get<T>();
    } catch (const Json::exception&) {
      Throw(ErrorCode::kDataLoss, "{}: field {} is missing or of the wrong type", source_, field);
    }
  }
  int64_t Count(const char* field, int64_t least, int64_t most) const {
    const auto value = Get<int64_t>(field);
    if (value >= least && value <= most) return value;
    Throw(ErrorCode::kDataLoss, "{}: field {} is {}, expected {} to {}", source_, field, value,
          least, most);
  }

 private:
  const Json& object_;
  std::string source_;
};

BaselinePrompt ReadPrompt(const Json& json, const std::string& source, int64_t k) {
  const Reader reader(json, source);
  BaselinePrompt prompt;
  prompt.id = reader.Get<std::string>("id");
  prompt.prompt_ids = reader.Get<std::vector<int32_t>>("prompt_ids");
  prompt.max_tokens = reader.Count("max_tokens", 1, 1 << 20);
  prompt.drafts = reader.Count("drafts", 0, prompt.max_tokens);
  prompt.accepted = reader.Count("accepted", 0, prompt.drafts * k);
  return prompt;
}

}  // namespace

AcceptanceCounts AcceptanceBaseline::Total() const {
  AcceptanceCounts total;
  for (const BaselinePrompt& prompt : prompts) {
    total.drafts += prompt.drafts;
    total.draft_tokens += prompt.drafts * k;
    total.accepted += prompt.accepted;
  }
  return total;
}

AcceptanceBaseline MakeBaseline(const TraceStore& store, std::span<const TraceKey> keys,
                                const DrafterRun& run) {
  CheckInternal(keys.size() == run.rounds.size(), "a run has the rounds of every prompt");
  const TraceManifest& manifest = store.manifest();
  AcceptanceBaseline baseline;
  baseline.verifier_identity = manifest.verifier_identity;
  baseline.drafter_identity = run.identity;
  baseline.numerics = run.numerics;
  baseline.k = run.k;
  baseline.stop_token_ids = manifest.stop_token_ids;
  for (const size_t index : ByRankInCategory(store, keys)) {
    if (baseline.prompts.size() == kPrompts) break;
    const Trace trace = store.Read(keys[index]);
    BaselinePrompt prompt;
    prompt.id = trace.id;
    prompt.prompt_ids.assign(trace.prompt().begin(), trace.prompt().end());
    prompt.max_tokens = std::min(kTokens, manifest.max_tokens);
    const AcceptanceCounts counts = CountWithin(run.rounds[index].rounds, prompt.max_tokens);
    prompt.drafts = counts.drafts;
    prompt.accepted = counts.accepted;
    baseline.prompts.push_back(std::move(prompt));
  }
  return baseline;
}

std::filesystem::path BaselinePath(const std::filesystem::path& drafter) {
  return drafter / "talon_acceptance.json";
}

void WriteBaseline(const std::filesystem::path& drafter, const AcceptanceBaseline& baseline) {
  Json json;
  json["format"] = kFormat;
  json["verifier_identity"] = baseline.verifier_identity;
  json["drafter_identity"] = baseline.drafter_identity;
  json["numerics"] = baseline.numerics;
  json["num_speculative_tokens"] = baseline.k;
  json["acceptance_length"] = baseline.Total().Length();
  json["stop_token_ids"] = baseline.stop_token_ids;
  json["prompts"] = Json::array();
  for (const BaselinePrompt& prompt : baseline.prompts) {
    json["prompts"].push_back(PromptJson(prompt));
  }
  WriteFileAtomically(BaselinePath(drafter), json.dump(1) + "\n");
}

std::optional<AcceptanceBaseline> ReadBaseline(const std::filesystem::path& drafter) {
  const std::filesystem::path path = BaselinePath(drafter);
  if (!std::filesystem::exists(path)) return std::nullopt;
  const Json json = ReadJsonFile(path);
  const Reader reader(json, path.string());
  if (const auto format = reader.Get<std::string>("format"); format != kFormat) {
    Throw(ErrorCode::kDataLoss, "{}: format is '{}', expected '{}'; record it again", path.string(),
          format, kFormat);
  }
  AcceptanceBaseline baseline;
  baseline.verifier_identity = reader.Get<std::string>("verifier_identity");
  baseline.drafter_identity = reader.Get<std::string>("drafter_identity");
  baseline.numerics = reader.Get<std::string>("numerics");
  baseline.k = reader.Count("num_speculative_tokens", 1, 1024);
  baseline.stop_token_ids = reader.Get<std::vector<int32_t>>("stop_token_ids");
  for (const Json& prompt : reader.Get<Json>("prompts")) {
    const std::string source =
        fmt::format("{}: prompts[{}]", path.string(), baseline.prompts.size());
    baseline.prompts.push_back(ReadPrompt(prompt, source, baseline.k));
  }
  return baseline;
}

}  // namespace talon

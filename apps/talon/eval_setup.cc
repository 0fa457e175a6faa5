#include "apps/talon/eval_setup.h"

#include <algorithm>
#include <set>

#include "talon/base/error.h"
#include "talon/checkpoint/identity.h"

namespace talon {
namespace {

namespace fs = std::filesystem;

// Behind an answer's end this many tokens are recorded at least, so that one store serves several
// k.
constexpr int64_t kMinTailTokens = 8;

std::vector<PromptRow> ReadAllPrompts(const std::vector<std::string>& paths) {
  std::vector<PromptRow> rows;
  for (const std::string& path : paths) {
    std::vector<PromptRow> more = ReadPrompts(path);
    std::move(more.begin(), more.end(), std::back_inserter(rows));
  }
  return rows;
}

int64_t MaxDrafts(const EvalFlags& flags) {
  return *std::max_element(flags.num_speculative_tokens.begin(),
                           flags.num_speculative_tokens.end());
}

TraceManifest MakeManifest(const EvalFlags& flags, const EvalSetup& setup,
                           const std::set<int64_t>& aux_layer_ids) {
  const Session& session = setup.session;
  TraceManifest manifest;
  manifest.verifier = flags.session.verifier;
  manifest.verifier_identity = CheckpointIdentity(*session.verifier.store);
  manifest.verifier_numerics = session.verifier.model->format_summary();
  manifest.dtype = session.options.dtype;
  manifest.data_sha256 = setup.data->identity();
  manifest.chat_format =
      session.chat_format ? std::string(Name(*session.chat_format)) : std::string("raw");
  manifest.turns = flags.turns;
  manifest.max_tokens = flags.max_tokens;
  manifest.tail_tokens = std::max(kMinTailTokens, MaxDrafts(flags));
  manifest.stop_token_ids = session.StopTokenIds();
  manifest.aux_layer_ids.assign(aux_layer_ids.begin(), aux_layer_ids.end());
  manifest.hidden_size = session.verifier.model->config().hidden_size;
  return manifest;
}

}  // namespace

void AddEvalFlags(CLI::App& command, EvalFlags& flags) {
  command
      .add_option("--verifier", flags.session.verifier, "verifier: folder or org/name[@revision]")
      ->required();
  command
      .add_option("--data", flags.data,
                  "JSONL files or folders of them; rows have turns, prompt or messages")
      ->required();
  command
      .add_option("--num-speculative-tokens,-k", flags.num_speculative_tokens,
                  "drafts per round; several: 1,3,5")
      ->delimiter(',')
      ->check(CLI::Range(1, 32))
      ->capture_default_str();
  command.add_option("--max-tokens", flags.max_tokens, "new tokens per answer")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command
      .add_option("--max-prompts", flags.max_prompts,
                  "rows of each category, the first that fit the context; 0: all")
      ->check(CLI::Range(0, 1 << 30))
      ->capture_default_str();
  command
      .add_option("--turns", flags.turns,
                  "first, or all: later turns are asked after the verifier's own answers")
      ->check(CLI::IsMember({"first", "all"}))
      ->capture_default_str();
  command.add_option("--max-num-seqs", flags.max_num_seqs, "prompts decoded at the same time")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  AddSessionFlags(command, flags.session, "--verifier-numerics");
}

EvalSetup PrepareEval(const EvalFlags& flags) {
  std::vector<PromptRow> rows = ReadAllPrompts(flags.data);
  EvalSetup setup;
  setup.session = OpenSession(flags.session);
  const GemmaConfig& config = setup.session.verifier.model->config();
  setup.max_positions = config.max_position_embeddings;
  std::set<int64_t> aux_layer_ids;
  for (const std::string& name : flags.drafters) {
    const LoadedDrafter drafter = setup.session.OpenDrafter(name);
    const auto ids = drafter.model->aux_layer_ids();
    aux_layer_ids.insert(ids.begin(), ids.end());
    setup.max_positions = std::min(setup.max_positions, drafter.model->max_position_embeddings());
  }
  if (aux_layer_ids.empty()) {
    const std::vector<int64_t> ids = DefaultAuxLayerIds(config.num_layers());
    aux_layer_ids.insert(ids.begin(), ids.end());
  }
  setup.data = std::make_unique<EvalData>(
      std::move(rows), *setup.session.tokenizer,
      EvalDataOptions{.chat_format = setup.session.chat_format,
                      .all_turns = flags.turns == "all",
                      .max_prompts = flags.max_prompts,
                      .max_positions = setup.max_positions,
                      .reserved_tokens = flags.max_tokens + MaxDrafts(flags) + 1});
  fs::path directory = flags.trace;
  if (flags.trace.empty()) {
    setup.temporary = std::make_unique<UnfinishedPath>(fs::temp_directory_path() / "talon-traces");
    directory = setup.temporary->path();
  }
  setup.store = std::make_unique<TraceStore>(directory, MakeManifest(flags, setup, aux_layer_ids));
  return setup;
}

Recording RecordAll(const EvalFlags& flags, EvalSetup& setup) {
  int64_t longest = 0;
  for (const EvalPrompt& prompt : setup.data->first_turns()) {
    longest = std::max(longest, std::ssize(prompt.tokens));
  }
  const TraceManifest& manifest = setup.store->manifest();
  RecorderOptions options;
  options.max_num_seqs = flags.max_num_seqs;
  options.max_positions =
      flags.turns == "all"
          ? setup.max_positions
          : std::min(setup.max_positions, longest + manifest.max_tokens + manifest.tail_tokens);
  Recording recording =
      RecordTraces(*setup.session.verifier.model, *setup.data, *setup.store, options);
  fmt::print(stderr, "traces: {} recorded ({} answer tokens in {:.1f} s), {} from {}\n",
             recording.recorded, recording.answer_tokens, recording.seconds,
             std::ssize(recording.keys) - recording.recorded, setup.store->directory().string());
  return recording;
}

}  // namespace talon

// `talon quantize`: a BF16 drafter or verifier to NVFP4.
#include <memory>
#include <optional>

#include "apps/talon/command_line.h"
#include "apps/talon/commands.h"
#include "apps/talon/input_amax.h"
#include "apps/talon/quantize_options.h"
#include "talon/base/error.h"
#include "talon/checkpoint/hub.h"
#include "talon/quantize/check.h"
#include "talon/quantize/export.h"
#include "talon/quantize/ledger.h"

namespace talon {
namespace {

constexpr char kExamples[] = R"(
Recipes: max is ModelOpt's NVFP4_DEFAULT_CFG with max calibration (weights and activations); w4a16 is its
weight-only form and needs no calibration. Calibration runs the verifier over the conversations in its chat format
and the drafter on what the verifier computed: the first pass, and draft steps that feed on the drafter's own
output, whose ranges are wider (0 self-fed steps is the published recipe). lm_head, embed_tokens and d2t stay as they are by default; with
--embedding auto the embedding is left out when its bytes equal the verifier's.

Examples:
  talon quantize models/demo/drafter --verifier models/demo/verifier \
      --calibration models/demo/calibration.jsonl --output ./drafter-nvfp4
  talon quantize models/demo/drafter --recipe w4a16 --output ./drafter-w4a16
  talon quantize models/demo/drafter --amax amax.json --embedding keep --output ./drafter-nvfp4
  talon quantize models/demo/drafter --recipe w4a16 --dry-run --json)";

// Fails before any long work.
void RequireOutput(const QuantizeOptions& options) {
  if (options.dry_run) return;
  if (options.output.empty()) {
    Throw(ErrorCode::kInvalidArgument, "--output is missing: name the folder to create");
  }
  if (std::filesystem::exists(std::filesystem::symlink_status(options.output))) {
    Throw(ErrorCode::kFailedPrecondition,
          "{}: exists already; remove it or choose another output folder", options.output);
  }
}

Recipe MakeRecipe(const QuantizeOptions& options) {
  Recipe recipe = ParseRecipe(options.recipe);
  recipe.division = ParseScaleDivision(options.scale_division);
  recipe.embedding = ParseEmbeddingMode(options.embedding);
  recipe.quantize_lm_head = ParseQuantizeLmHead(options.lm_head);
  return recipe;
}

// One run: what it prints as text is collected as JSON too.
class QuantizeRun {
 public:
  explicit QuantizeRun(const QuantizeOptions& options)
      : options_(options), recipe_(MakeRecipe(options)), pool_(options.session.threads) {
    RequireOutput(options);
    RequireAmaxFlags(options, recipe_);
    source_.emplace(ModelFiles::Open(ResolveModel(options.model)));
    if (source_->layout.is_drafter() && !options.calibration_file.empty() &&
        options.session.verifier.empty()) {
      Throw(ErrorCode::kInvalidArgument,
            "--calibration runs the drafter's verifier over the conversations: name it with "
            "--verifier");
    }
    if (!options.session.verifier.empty()) {
      verifier_.emplace(ModelFiles::Open(ResolveModel(options.session.verifier)));
    }
  }

  int Run() {
    const ModelFiles* verifier = verifier_ ? &*verifier_ : nullptr;
    QuantizationPlan plan = MakePlan(*source_, recipe_, verifier, pool_);
    PrintPlan(plan);
    if (options_.dry_run) return Finish(/*sound=*/true);

    const InputAmaxSource amax = ObtainInputAmax(options_, recipe_, *source_);
    json_["calibration"] = amax.record;
    if (!amax.text.empty()) Print("\n{}\n", amax.text);
    SetScales(*source_, amax.amax, plan, pool_);
    ExportRequest request;
    request.source = &*source_;
    request.source_name = options_.model;
    request.verifier = verifier;
    request.verifier_name = options_.session.verifier;
    request.plan = &plan;
    request.calibration = amax.record;
    request.version = kVersion;
    request.command = CommandLine();
    request.full_hash = options_.full_hash;
    const ExportResult result = ExportCheckpoint(request, options_.output, pool_);
    PrintResult(result);

    const CheckReport report = CheckCheckpoint(options_.output, verifier, pool_);
    json_["check"] = ReportJson(report);
    Print("\n{}", FormatReport(report));
    return Finish(report.ok());
  }

 private:
  template <typename... Args>
  void Print(fmt::format_string<Args...> format, Args&&... args) const {
    if (!options_.json) fmt::print(format, std::forward<Args>(args)...);
  }

  void PrintPlan(const QuantizationPlan& plan) {
    const ByteLedger ledger = MakeLedger(plan);
    json_["model"] = source_->path.string();
    json_["recipe"] = recipe_.name();
    json_["quant_algo"] = recipe_.quant_algo();
    json_["embedding"] = plan.embedding_note;
    json_["ledger"] = LedgerJson(ledger);
    Print("{} {} -> {}\n\n{}\nembed_tokens: {}\n",
          source_->layout.is_drafter() ? "drafter" : "verifier", source_->path.string(),
          recipe_.quant_algo(), FormatLedger(ledger, /*compare=*/true), plan.embedding_note);
    std::fflush(stdout);
  }

  void PrintResult(const ExportResult& result) {
    json_["output"] = options_.output;
    json_["output_bytes"] = result.size_bytes;
    json_["notes"] = result.notes;
    for (const std::string& note : result.notes) Print("not written: {}\n", note);
    Print("wrote {} ({})\n", options_.output, FormatBytes(result.size_bytes));
  }

  int Finish(bool sound) const {
    if (options_.json) fmt::print("{}\n", json_.dump(2));
    return sound ? 0 : 1;
  }

  const QuantizeOptions& options_;
  Recipe recipe_;
  std::optional<ModelFiles> source_;
  std::optional<ModelFiles> verifier_;
  ThreadPool pool_;
  Json json_ = Json::object();
};

}  // namespace

void AddQuantize(CLI::App& app, RunCommand& run) {
  CLI::App* command =
      app.add_subcommand("quantize", "Quantize a BF16 drafter or verifier to NVFP4");
  command->footer(kExamples);
  const auto options = std::make_shared<QuantizeOptions>();
  command->add_option("model", options->model, "Folder, or org/name in the Hugging Face cache")
      ->required();
  command->add_option("--output", options->output, "Folder to create");
  command->add_option("--verifier", options->session.verifier,
                      "The drafter's verifier: tokenizer, and the embedding to compare with");
  command->add_option("--recipe", options->recipe, "max or w4a16")->capture_default_str();
  command->add_option("--calibration", options->calibration_file,
                      "JSONL file of conversations (messages or conversations)");
  command->add_option("--num-samples", options->num_samples, "Conversations to use")
      ->check(CLI::Range(1, 1 << 30))
      ->capture_default_str();
  command->add_option("--seq-length", options->seq_length, "Tokens used of each, from its start")
      ->check(CLI::Range(2, 1 << 30))
      ->capture_default_str();
  command->add_option("--self-fed-steps", options->self_fed_steps, "Draft steps to observe")
      ->check(CLI::Range(0, 64))
      ->capture_default_str();
  command->add_option("--amax", options->amax_file,
                      "JSON file of input maxima by linear, instead of calibrating");
  command->add_option("--embedding", options->embedding, "auto, keep, share or nvfp4")
      ->capture_default_str();
  command->add_option("--lm-head", options->lm_head, "bf16 or nvfp4")->capture_default_str();
  command
      ->add_option("--scale-division", options->scale_division,
                   "How amax / 2688 is formed: ieee (a CPU export), or gpu (times the reciprocal)")
      ->capture_default_str();
  command->add_flag("--full-hash", options->full_hash,
                    "Record SHA-256 of the sources' whole files");
  command->add_flag("--dry-run", options->dry_run, "Print the byte ledger and write nothing");
  command->add_flag("--json", options->json, "Result as JSON");
  AddSessionFlags(*command, options->session);
  command->callback([options, &run] { run = [options] { return QuantizeRun(*options).Run(); }; });
}

}  // namespace talon

#include "talon/quantize/model_card.h"

#include <algorithm>
#include <string_view>

#include "talon/base/error.h"

namespace talon {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMeasuredBegin = "<!-- talon: measured acceptance, begin -->";
constexpr std::string_view kMeasuredEnd = "<!-- talon: measured acceptance, end -->";

// True for "org/name", the form that the Hub can link to.
bool IsHubName(const std::string& name) {
  const size_t slash = name.find('/');
  return slash != std::string::npos && slash > 0 && slash + 1 < name.size() &&
         name.find('/', slash + 1) == std::string::npos && name[0] != '.' && name[0] != '~';
}

std::string WithoutRevision(const std::string& name) { return name.substr(0, name.find('@')); }

// The license lines of the source's own front matter, or a reference to its LICENSE file.
std::string LicenseLines(const fs::path& source) {
  const fs::path readme = source / "README.md";
  if (fs::exists(readme)) {
    const std::string text = ReadTextFile(readme);
    const size_t end = text.starts_with("---\n") ? text.find("\n---", 4) : std::string::npos;
    std::string lines;
    for (size_t begin = 4; end != std::string::npos && begin < end;) {
      const size_t stop = std::min(text.find('\n', begin), end);
      const std::string line = text.substr(begin, stop - begin);
      if (line.starts_with("license")) lines += line + "\n";
      begin = stop + 1;
    }
    if (!lines.empty()) return lines;
  }
  if (!fs::exists(source / "LICENSE")) return "";
  return "license: other\nlicense_name: see-license-file\nlicense_link: LICENSE\n";
}

std::string FrontMatter(const ExportRequest& request) {
  std::string text = "---\n" + LicenseLines(request.source->path);
  const std::string base = WithoutRevision(request.source_name);
  if (IsHubName(base) && !fs::exists(request.source_name)) {
    text += fmt::format("base_model: {}\nbase_model_relation: quantized\n", base);
  }
  text += "pipeline_tag: text-generation\ntags:\n- nvfp4\n- modelopt\n- vllm\n";
  if (request.source->layout.is_drafter()) {
    text += "- eagle3\n- speculative-decoding\n- speculators\n";
  }
  return text + "---\n\n";
}

// One line about where the input ranges come from; nothing for weight-only recipes.
std::string CalibrationRow(const Json& record) {
  if (record.contains("amax_file")) return "| calibration | input ranges given in a file |\n";
  if (!record.contains("data")) return "";
  const std::string data = fs::path(record.value("data", "")).filename().string();
  std::string row =
      fmt::format("| calibration | {} conversations of `{}`, {} tokens, at most {} each",
                  record.value("conversations", 0), data, record.value("tokens", 0),
                  record.value("seq_length", 0));
  if (record.contains("self_fed_steps")) {
    row += fmt::format("; first pass and {} self-fed steps", record.value("self_fed_steps", 0));
  }
  return row + " |\n";
}

std::string RecipeTable(const ExportRequest& request) {
  const Recipe& recipe = request.plan->recipe;
  std::string excluded = recipe.quantize_lm_head ? "" : "`lm_head`, ";
  if (recipe.embedding != EmbeddingMode::kNvfp4) excluded += "`embed_tokens`, ";
  excluded += "norms";
  if (request.source->layout.is_drafter()) excluded += ", `d2t`, `t2d`";
  std::string text = "## Recipe\n\n| | |\n|---|---|\n";
  text += fmt::format("| recipe | `{}` (ModelOpt's {}) |\n", recipe.name(), recipe.config_name());
  text +=
      "| weights | NVFP4: E2M1 in blocks of 16, E4M3 block scales, one FP32 scale per linear |\n";
  text +=
      fmt::format("| activations | {} |\n",
                  recipe.quantize_activations
                      ? "NVFP4 per block under a calibrated `input_scale` (W4A4); W4A16 works too"
                      : "not quantized (W4A16)");
  text += CalibrationRow(request.calibration);
  text += "| shared scales | q/k/v and gate/up |\n";
  text += fmt::format("| scale division | {} |\n", Name(recipe.division));
  text += fmt::format("| not quantized | {} |\n", excluded);
  text += fmt::format("| embedding | {} |\n", request.plan->embedding_note);
  return text + "\n";
}

std::string LedgerSection(const QuantizationPlan& plan) {
  std::string text = "## Size\n\n```\n";
  return text + FormatLedger(MakeLedger(plan), /*compare=*/true) + "```\n\n";
}

std::string FilesTable(const std::vector<CardFile>& files) {
  std::string text = "## Files\n\n| file | size |\n|---|---:|\n";
  for (const CardFile& file : files) {
    text += fmt::format("| `{}` | {} |\n", file.name, FormatBytes(file.size_bytes));
  }
  return text + "\n";
}

std::string InputRanges(const QuantizationPlan& plan) {
  if (!plan.recipe.quantize_activations) return "";
  std::string text = "## Calibrated input ranges\n\n| linear | largest input |\n|---|---:|\n";
  for (const PlannedTensor& tensor : plan.tensors) {
    if (tensor.action != TensorAction::kQuantize || tensor.weight_only) continue;
    text += fmt::format("| `{}` | {} |\n", tensor.module, tensor.input_amax);
  }
  return text + "\n";
}

std::string ServeSection(const ExportRequest& request, const std::string& title) {
  if (!request.source->layout.is_drafter()) {
    return fmt::format("## Use\n\n```\nvllm serve ./{}\n```\n\n", title);
  }
  const std::string& named = request.source->layout.drafter().verifier_name_or_path;
  const std::string verifier = request.verifier_name.empty() ? named : request.verifier_name;
  const int64_t drafts =
      std::max<int64_t>(1, request.source->layout.drafter().num_speculative_tokens);
  return fmt::format(
      "## Use\n\n```\nvllm serve {} --speculative-config "
      "'{{\"method\": \"eagle3\", \"model\": \"./{}\", \"num_speculative_tokens\": {}}}'\n```\n\n",
      verifier.empty() ? "VERIFIER" : verifier, title, drafts);
}

std::string ProvenanceSection(const ExportRequest& request) {
  std::string text = "## Provenance\n\n";
  text += fmt::format("Made by Talon {} from `{}`", request.version, request.source_name);
  if (!request.verifier_name.empty()) {
    text += fmt::format(" with verifier `{}`", request.verifier_name);
  }
  text += ". `talon_provenance.json` holds the sources' hashes, the recipe and the command.\n";
  return text;
}

}  // namespace

std::string MakeModelCard(const ExportRequest& request, const std::string& title,
                          const std::vector<CardFile>& files) {
  const bool drafter = request.source->layout.is_drafter();
  std::string text = FrontMatter(request);
  text += fmt::format("# {}\n\n{} `{}` quantized to NVFP4 ({}).\n\n", title,
                      drafter ? "The EAGLE-3 drafter" : "The model", request.source_name,
                      request.plan->recipe.quantize_activations ? "W4A4" : "W4A16");
  text += RecipeTable(request) + LedgerSection(*request.plan);
  if (drafter) {
    text += fmt::format(
        "## Acceptance\n\n{}\nNot measured yet: `talon eval --write-card` fills in this "
        "section.\n{}\n\n",
        kMeasuredBegin, kMeasuredEnd);
  }
  text += ServeSection(request, title) + InputRanges(*request.plan) + FilesTable(files);
  return text + ProvenanceSection(request);
}

bool HasMeasuredSection(const std::string& card) {
  const size_t begin = card.find(kMeasuredBegin);
  const size_t end = card.find(kMeasuredEnd);
  return begin != std::string::npos && end != std::string::npos && begin < end;
}

std::string ReplaceMeasuredSection(const std::string& card, const std::string& markdown,
                                   const std::string& source) {
  if (!HasMeasuredSection(card)) {
    Throw(ErrorCode::kDataLoss,
          "{}: has no section between '{}' and '{}' to write the measured acceptance to", source,
          kMeasuredBegin, kMeasuredEnd);
  }
  const size_t head = card.find(kMeasuredBegin) + kMeasuredBegin.size();
  const std::string newline = markdown.ends_with('\n') ? "" : "\n";
  return card.substr(0, head) + "\n" + markdown + newline + card.substr(card.find(kMeasuredEnd));
}

}  // namespace talon

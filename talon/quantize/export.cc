#include "talon/quantize/export.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "talon/base/atomic_output.h"
#include "talon/base/error.h"
#include "talon/quantize/model_card.h"
#include "talon/quantize/modelopt_state.h"
#include "talon/quantize/quant_config.h"
#include "talon/quantize/tensor_export.h"

namespace talon {
namespace {

namespace fs = std::filesystem;

// Copied from the source, and the tokenizer from the verifier where the source has none.
constexpr std::array<std::string_view, 2> kTokenizerFiles = {"tokenizer.json",
                                                             "tokenizer_config.json"};
// Copied for a verifier, whose folder is to be complete.
constexpr std::array<std::string_view, 7> kModelFiles = {
    "generation_config.json",  "chat_template.jinja", "tokenizer.model",
    "special_tokens_map.json", "added_tokens.json",   "preprocessor_config.json",
    "processor_config.json"};

// What the modules of the layout become.
struct Modules {
  std::vector<std::string> quantized;
  std::vector<std::string> unquantized;
  std::vector<QuantizerModule> quantizers;
};

class Exporter {
 public:
  Exporter(const ExportRequest& request, const fs::path& output)
      : request_(request), directory_(output), title_(output.filename().string()) {
    if (title_.empty()) title_ = output.parent_path().filename().string();
  }

  ExportResult Run(ThreadPool& pool) {
    RequireSpace();
    const Modules modules = GatherModules();
    const std::vector<std::string> excluded =
        CondenseExcluded(modules.quantized, modules.unquantized);
    const Recipe& recipe = request_.plan->recipe;
    WritePlannedTensors(*request_.plan, directory_.path() / "model.safetensors", pool);
    WriteConfig(excluded);
    WriteText("hf_quant_config.json", MakeHfQuantConfig(recipe, excluded).dump(4));
    WriteState(modules);
    CopyCompanions();
    WriteText("talon_provenance.json", MakeProvenance(request_).dump(2) + "\n");
    WriteText("README.md", MakeModelCard(request_, title_, ListFiles()));
    for (const CardFile& file : ListFiles()) result_.size_bytes += file.size_bytes;
    directory_.Commit();
    return result_;
  }

 private:
  const fs::path& source() const { return request_.source->path; }
  bool is_drafter() const { return request_.source->layout.is_drafter(); }

  void WriteText(std::string_view name, std::string_view text) {
    WriteFileAtomically(directory_.path() / name, text);
  }

  void RequireSpace() const {
    constexpr int64_t kOtherFilesBytes = int64_t{64} << 20;
    const int64_t needed = PlannedBytes(*request_.plan) + kOtherFilesBytes;
    std::error_code error;
    const fs::space_info space = fs::space(directory_.path(), error);
    if (!error && space.available < static_cast<uintmax_t>(needed)) {
      Throw(ErrorCode::kResourceExhausted,
            "{}: the checkpoint needs {}, but the disk has {} left; free some space",
            directory_.path().parent_path().string(), FormatBytes(needed),
            FormatBytes(static_cast<int64_t>(space.available)));
    }
  }

  // Linears and embeddings of the layout, and other matrices (vision, audio) that the file holds.
  Modules GatherModules() const {
    Modules modules;
    const auto add = [&modules](const std::string& name, bool is_embedding, bool quantized) {
      (quantized ? modules.quantized : modules.unquantized).push_back(name);
      modules.quantizers.push_back({name, is_embedding, quantized});
    };
    std::map<std::string, TensorAction> actions;
    for (const PlannedTensor& tensor : request_.plan->tensors) {
      actions[tensor.source->name] = tensor.action;
      const std::string& name = tensor.source->name;
      if (tensor.part == ModelPart::kOther && tensor.source->shape.size() >= 2 &&
          name.ends_with(".weight")) {
        add(name.substr(0, name.size() - std::string_view(".weight").size()), false, false);
      }
    }
    for (const auto& [name, tensor] : request_.source->layout.tensors) {
      const bool is_embedding = tensor.part == ModelPart::kEmbedding;
      if (!tensor.is_linear && !is_embedding) continue;
      const auto action = actions.find(name);
      add(tensor.module(), is_embedding,
          action != actions.end() && action->second == TensorAction::kQuantize);
    }
    return modules;
  }

  void WriteConfig(const std::vector<std::string>& excluded) {
    Json config = request_.source->config;
    config["quantization_config"] = MakeQuantizationConfig(request_.plan->recipe, excluded);
    if (is_drafter()) WriteConfigClass(config);
    WriteText("config.json", config.dump(2) + "\n");
  }

  // The source's config.py with the class it names, else our own.
  void WriteConfigClass(Json& config) {
    ConfigClass config_class;
    if (fs::exists(source() / "config.py")) {
      Copy(source(), "config.py");
      const Json auto_map = config.value("auto_map", Json::object());
      const std::string reference = auto_map.is_object() ? auto_map.value("", "") : "";
      if (reference.starts_with("config.")) config_class.name = reference.substr(7);
    } else {
      WriteText("config.py", MinimalConfigPy());
    }
    SetAutoMap(config, config_class);
  }

  void WriteState(const Modules& modules) {
    if (!is_drafter()) {
      result_.notes.push_back(
          "modelopt_state.pt: written for drafters only (a verifier's quantizers depend on the "
          "transformers class)");
      return;
    }
    if (request_.plan->recipe.embedding == EmbeddingMode::kNvfp4) {
      result_.notes.push_back("modelopt_state.pt: ModelOpt cannot describe an NVFP4 embedding");
      return;
    }
    WriteText("modelopt_state.pt", ModelOptState(request_.plan->recipe, modules.quantizers));
  }

  void CopyCompanions() {
    const bool has_verifier = request_.verifier != nullptr;
    for (const std::string_view name : kTokenizerFiles) {
      if (Copy(source(), name) || (has_verifier && Copy(request_.verifier->path, name))) continue;
      result_.notes.push_back(fmt::format(
          "{}: neither {} has one", name,
          has_verifier ? "the source nor the verifier" : "the source nor a verifier (none given)"));
    }
    Copy(source(), "LICENSE");
    if (is_drafter()) return;
    for (const std::string_view name : kModelFiles) Copy(source(), name);
  }

  // False when `folder` has no such file.
  bool Copy(const fs::path& folder, std::string_view name) {
    if (!fs::exists(folder / name)) return false;
    WriteText(name, ReadTextFile(folder / name));
    return true;
  }

  std::vector<CardFile> ListFiles() const {
    std::vector<CardFile> files;
    for (const auto& entry : fs::directory_iterator(directory_.path())) {
      files.push_back({entry.path().filename().string(), static_cast<int64_t>(entry.file_size())});
    }
    std::sort(files.begin(), files.end(),
              [](const CardFile& a, const CardFile& b) { return a.name < b.name; });
    return files;
  }

  const ExportRequest& request_;
  AtomicDirectory directory_;
  std::string title_;
  ExportResult result_;
};

}  // namespace

ExportResult ExportCheckpoint(const ExportRequest& request, const fs::path& output,
                              ThreadPool& pool) {
  return Exporter(request, output).Run(pool);
}

}  // namespace talon

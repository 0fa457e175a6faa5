#include "talon/checkpoint/hub.h"

#include <algorithm>
#include <cstdlib>

#include "talon/base/error.h"
#include "talon/base/json.h"

namespace talon {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxRefBytes = 4096;

struct ModelName {
  std::string organization;
  std::string name;
  std::string revision = "main";
};

// The value of an environment variable, or empty.
std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

fs::path ExpandHome(const std::string& path) {
  if (path != "~" && !path.starts_with("~/")) return path;
  return fs::path(Environment("HOME")) / (path.size() > 2 ? path.substr(2) : "");
}

// The places that huggingface_hub uses, in its order.
fs::path CacheDirectory() {
  if (const std::string cache = Environment("HF_HUB_CACHE"); !cache.empty()) {
    return ExpandHome(cache);
  }
  if (const std::string cache = Environment("HUGGINGFACE_HUB_CACHE"); !cache.empty()) {
    return ExpandHome(cache);
  }
  if (const std::string home = Environment("HF_HOME"); !home.empty()) {
    return ExpandHome(home) / "hub";
  }
  const std::string xdg = Environment("XDG_CACHE_HOME");
  return (xdg.empty() ? ExpandHome("~/.cache") : ExpandHome(xdg)) / "huggingface/hub";
}

bool IsNamePart(const std::string& part) {
  const auto allowed = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
  };
  return !part.empty() && part[0] != '.' && std::all_of(part.begin(), part.end(), allowed);
}

// Revisions are branch names, which may hold slashes, but must stay inside refs/.
bool IsRevision(const std::string& revision) {
  return !revision.empty() && revision[0] != '/' && revision.find("..") == std::string::npos &&
         revision.find('\0') == std::string::npos;
}

ModelName ParseName(const std::string& text) {
  ModelName model;
  const size_t at = text.find('@');
  const std::string id = text.substr(0, at);
  if (at != std::string::npos) model.revision = text.substr(at + 1);
  const size_t slash = id.find('/');
  if (slash != std::string::npos) {
    model.organization = id.substr(0, slash);
    model.name = id.substr(slash + 1);
  }
  if (!IsNamePart(model.organization) || !IsNamePart(model.name) || !IsRevision(model.revision)) {
    Throw(
        ErrorCode::kNotFound,
        "'{}' is neither an existing model folder nor a model name (org/name or org/name@revision)",
        text);
  }
  return model;
}

// The commit a revision stands for: what refs/REVISION says, else the revision itself.
std::string CommitOf(const fs::path& repository, const std::string& revision) {
  const fs::path ref = repository / "refs" / revision;
  std::error_code error;
  if (!fs::is_regular_file(ref, error)) return revision;
  std::string commit = ReadTextFile(ref, kMaxRefBytes);
  while (!commit.empty() && std::isspace(static_cast<unsigned char>(commit.back())) != 0) {
    commit.pop_back();
  }
  if (!IsNamePart(commit)) {
    Throw(ErrorCode::kDataLoss, "{}: does not hold a commit hash", ref.string());
  }
  return commit;
}

}  // namespace

fs::path ResolveModel(const std::string& name_or_path) {
  std::error_code error;
  if (fs::is_directory(name_or_path, error)) return name_or_path;
  if (fs::exists(name_or_path, error)) {
    Throw(ErrorCode::kInvalidArgument, "{}: is a file; expected a model folder or org/name",
          name_or_path);
  }
  const ModelName model = ParseName(name_or_path);
  const fs::path cache = CacheDirectory();
  const fs::path repository = cache / ("models--" + model.organization + "--" + model.name);
  const fs::path snapshot = repository / "snapshots" / CommitOf(repository, model.revision);
  // A snapshot without a config holds other files of the model only (a tokenizer, say).
  if (fs::exists(snapshot / "config.json", error)) return snapshot;
  Throw(ErrorCode::kNotFound,
        "model {} is not in the Hugging Face cache {}; Talon downloads nothing, run: "
        "hf download {}/{}{}",
        name_or_path, cache.string(), model.organization, model.name,
        model.revision == "main" ? "" : " --revision " + model.revision);
}

}  // namespace talon

#include "talon/eval/trace_manifest.h"

#include "talon/base/atomic_output.h"
#include "talon/base/error.h"
#include "talon/base/json.h"

namespace talon {
namespace {

constexpr std::string_view kFormat = "talon-traces-1";

Json ManifestJson(const TraceManifest& manifest) {
  Json json;
  json["format"] = kFormat;
  json["verifier"] = manifest.verifier;
  json["verifier_identity"] = manifest.verifier_identity;
  json["verifier_numerics"] = manifest.verifier_numerics;
  json["dtype"] = Name(manifest.dtype);
  json["data_sha256"] = manifest.data_sha256;
  json["chat_format"] = manifest.chat_format;
  json["turns"] = manifest.turns;
  json["max_tokens"] = manifest.max_tokens;
  json["tail_tokens"] = manifest.tail_tokens;
  json["stop_token_ids"] = manifest.stop_token_ids;
  json["aux_layer_ids"] = manifest.aux_layer_ids;
  json["hidden_size"] = manifest.hidden_size;
  return json;
}

}  // namespace

void WriteManifest(const std::filesystem::path& path, const TraceManifest& manifest) {
  WriteFileAtomically(path, ManifestJson(manifest).dump(2) + "\n");
}

void CheckSameManifest(const std::filesystem::path& path, TraceManifest& expected) {
  const Json found = ReadJsonFile(path);
  if (!found.is_object()) {
    Throw(ErrorCode::kDataLoss, "{}: not a JSON object", path.string());
  }
  const Json wanted = ManifestJson(expected);
  for (const auto& [field, value] : wanted.items()) {
    if (field == "verifier") continue;  // the same checkpoint may lie elsewhere
    const Json other = found.contains(field) ? found.at(field) : Json();
    if (other == value) continue;
    if (field == "tail_tokens" && other.is_number_integer() && other > value) {
      other.get_to(expected.tail_tokens);
      continue;
    }
    Throw(ErrorCode::kFailedPrecondition,
          "{}: these traces have {} = {}, this run has {}; give another --trace folder or remove "
          "this one",
          path.string(), field, other.dump(), value.dump());
  }
}

}  // namespace talon

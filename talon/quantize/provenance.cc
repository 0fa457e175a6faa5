#include "talon/quantize/provenance.h"

#include "talon/checkpoint/identity.h"

namespace talon {
namespace {

Json SourceJson(const ModelFiles& files, const std::string& name, bool full_hash) {
  Json source = {{"name", name}, {"identity_sha256", CheckpointIdentity(files.store)}};
  if (!full_hash) return source;
  for (const FileHash& file : HashFiles(files.store)) {
    source["files"].push_back(
        {{"name", file.name}, {"size_bytes", file.size_bytes}, {"sha256", file.sha256}});
  }
  return source;
}

Json LinearsJson(const QuantizationPlan& plan) {
  Json linears = Json::object();
  for (const PlannedTensor& tensor : plan.tensors) {
    if (tensor.action != TensorAction::kQuantize) continue;
    Json& linear = linears[tensor.module];
    linear["weight_amax"] = tensor.weight_amax;
    linear["weight_scale_2"] = tensor.weight_scale_2;
    if (tensor.weight_only) continue;
    linear["input_amax"] = tensor.input_amax;
    linear["input_scale"] = tensor.input_scale;
  }
  return linears;
}

}  // namespace

Json MakeProvenance(const ExportRequest& request) {
  const Recipe& recipe = request.plan->recipe;
  Json record = Json::object();
  record["tool"] = {{"name", "talon"}, {"version", request.version}};
  record["command"] = request.command;
  record["sources"]["model"] = SourceJson(*request.source, request.source_name, request.full_hash);
  if (request.verifier != nullptr) {
    record["sources"]["verifier"] =
        SourceJson(*request.verifier, request.verifier_name, request.full_hash);
  }
  record["recipe"] = {{"name", recipe.name()},
                      {"modelopt_config", recipe.config_name()},
                      {"scale_division", Name(recipe.division)},
                      {"lm_head", recipe.quantize_lm_head ? "nvfp4" : "bf16"},
                      {"embedding", Name(recipe.embedding)},
                      {"embedding_outcome", request.plan->embedding_note}};
  record["calibration"] = request.calibration;
  record["linears"] = LinearsJson(*request.plan);
  return record;
}

}  // namespace talon

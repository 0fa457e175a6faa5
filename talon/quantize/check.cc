#include "talon/quantize/check.h"

#include <algorithm>

#include "talon/base/error.h"
#include "talon/quantize/check_steps.h"
#include "talon/quantize/ledger.h"

namespace talon {
namespace check {

void CheckPair(const ModelFiles& files, const ModelFiles& verifier, ThreadPool& pool,
               CheckReport& report) {
  if (verifier.layout.is_drafter()) {
    Add(report, Severity::kError, verifier.path.string(), "is a drafter, not a verifier");
    return;
  }
  try {
    RequireMatchingPair(files.layout.drafter(), verifier.layout.verifier());
  } catch (const Error& error) {
    Add(report, Severity::kError, "config.json", "{}", error.what());
    return;
  }
  const TensorView* ours = files.store.Find("embed_tokens.weight");
  const TensorView* theirs = verifier.store.Find(verifier.layout.embedding_module() + ".weight");
  if (ours == nullptr) return;
  if (theirs != nullptr && SameTensor(pool, *ours, *theirs)) {
    Add(report, Severity::kNote, "embed_tokens.weight",
        "equals the verifier's: {} could be left out",
        FormatBytes(static_cast<int64_t>(ours->bytes.size())));
  } else {
    Add(report, Severity::kNote, "embed_tokens.weight", "differs from the verifier's");
  }
}

}  // namespace check

namespace {

void RunSteps(const ModelFiles& files, const ModelFiles* verifier, ThreadPool& pool,
              CheckReport& report) {
  const check::Modules modules = GatherModules(files.store);
  for (const auto& [name, module] : modules) {
    report.num_parameters += module.num_parameters();
    report.size_bytes += module.size_bytes();
  }
  check::CheckTensors(files, modules, report);
  check::CheckFinite(files, pool, report);
  check::CheckScales(files, modules, report);
  check::CheckQuantConfig(files, modules, verifier, report);
  if (!files.layout.is_drafter()) return;
  check::CheckVocabularyMaps(files, report);
  if (verifier != nullptr) check::CheckPair(files, *verifier, pool, report);
}

}  // namespace

std::string_view Name(Severity severity) {
  switch (severity) {
    case Severity::kError:
      return "error";
    case Severity::kWarning:
      return "warning";
    case Severity::kNote:
      return "note";
  }
  return "?";
}

bool CheckReport::ok() const {
  return std::none_of(findings.begin(), findings.end(),
                      [](const Finding& finding) { return finding.severity == Severity::kError; });
}

double CheckReport::bits_per_parameter() const {
  if (num_parameters == 0) return 0.0;
  return 8.0 * static_cast<double>(size_bytes) / static_cast<double>(num_parameters);
}

CheckReport CheckCheckpoint(const std::filesystem::path& directory, const ModelFiles* verifier,
                            ThreadPool& pool) {
  CheckReport report;
  try {
    const ModelFiles files = ModelFiles::Open(directory);
    RunSteps(files, verifier, pool, report);
  } catch (const Error& error) {
    check::Add(report, Severity::kError, directory.string(), "{}", error.what());
  }
  std::stable_sort(report.findings.begin(), report.findings.end(),
                   [](const Finding& a, const Finding& b) { return a.severity < b.severity; });
  return report;
}

std::string FormatReport(const CheckReport& report) {
  std::string text;
  int64_t num_errors = 0;
  for (const Finding& finding : report.findings) {
    text += fmt::format("{:<8} {}: {}\n", Name(finding.severity), finding.where, finding.what);
    if (finding.severity == Severity::kError) ++num_errors;
  }
  text +=
      fmt::format("{}, {} parameters, {:.2f} bits per parameter: ", FormatBytes(report.size_bytes),
                  report.num_parameters, report.bits_per_parameter());
  text += num_errors == 0 ? "sound\n"
                          : fmt::format("{} error{}\n", num_errors, num_errors == 1 ? "" : "s");
  return text;
}

Json ReportJson(const CheckReport& report) {
  Json findings = Json::array();
  for (const Finding& finding : report.findings) {
    findings.push_back(
        {{"severity", Name(finding.severity)}, {"where", finding.where}, {"what", finding.what}});
  }
  Json json = Json::object();
  json["ok"] = report.ok();
  json["size_bytes"] = report.size_bytes;
  json["parameters"] = report.num_parameters;
  json["bits_per_parameter"] = report.bits_per_parameter();
  json["findings"] = std::move(findings);
  return json;
}

}  // namespace talon

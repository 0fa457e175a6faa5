#include "talon/quantize/ledger.h"

#include <algorithm>
#include <array>
#include <map>

#include "talon/base/error.h"
#include "talon/numeric/dtype.h"
#include "talon/quantize/stored_modules.h"

namespace talon {
namespace {

constexpr std::array<ModelPart, 8> kParts = {
    ModelPart::kEmbedding, ModelPart::kFc,     ModelPart::kAttention,      ModelPart::kMlp,
    ModelPart::kNorms,     ModelPart::kLmHead, ModelPart::kVocabularyMaps, ModelPart::kOther};

using PartRows = std::map<ModelPart, LedgerRow>;

void AddFormat(LedgerRow& row, const std::string& format) {
  if (row.formats.find(format) != std::string::npos) return;
  row.formats += row.formats.empty() ? format : ", " + format;
}

ByteLedger Collect(PartRows rows) {
  ByteLedger ledger;
  ledger.total.part = "total";
  for (const ModelPart part : kParts) {
    const auto found = rows.find(part);
    if (found == rows.end()) continue;
    LedgerRow& row = found->second;
    row.part = Name(part);
    ledger.total.num_parameters += row.num_parameters;
    ledger.total.before_bytes += row.before_bytes;
    ledger.total.after_bytes += row.after_bytes;
    ledger.rows.push_back(std::move(row));
  }
  return ledger;
}

std::string PlannedFormat(const PlannedTensor& tensor) {
  std::string format(Name(tensor.source->dtype));
  if (tensor.action == TensorAction::kQuantize) format += " -> NVFP4";
  if (tensor.action == TensorAction::kDrop) format += " -> left out";
  return format;
}

}  // namespace

ByteLedger MakeLedger(const QuantizationPlan& plan) {
  PartRows rows;
  for (const PlannedTensor& tensor : plan.tensors) {
    LedgerRow& row = rows[tensor.part];
    AddFormat(row, PlannedFormat(tensor));
    row.num_parameters += tensor.source->num_elements();
    row.before_bytes += static_cast<int64_t>(tensor.source->bytes.size());
    for (const TensorSpec& spec : OutputSpecs(tensor)) row.after_bytes += ByteCount(spec);
  }
  return Collect(std::move(rows));
}

ByteLedger MakeLedger(const ModelFiles& files) {
  PartRows rows;
  for (const auto& [name, module] : GatherModules(files.store)) {
    auto found = files.layout.tensors.find(name + ".weight");
    if (found == files.layout.tensors.end()) found = files.layout.tensors.find(name);
    const bool known = found != files.layout.tensors.end();
    LedgerRow& row = rows[known ? found->second.part : ModelPart::kOther];
    AddFormat(row, module.FormatName());
    row.num_parameters += module.num_parameters();
    row.before_bytes += module.size_bytes();
    row.after_bytes += module.size_bytes();
  }
  return Collect(std::move(rows));
}

std::string FormatBytes(int64_t size_bytes) {
  const auto value = static_cast<double>(size_bytes);
  if (size_bytes >= 1'000'000'000) return fmt::format("{:.2f} GB", value / 1e9);
  if (size_bytes >= 1'000'000) return fmt::format("{:.1f} MB", value / 1e6);
  if (size_bytes >= 1'000) return fmt::format("{:.1f} KB", value / 1e3);
  return fmt::format("{} B", size_bytes);
}

std::string FormatLedger(const ByteLedger& ledger, bool compare) {
  std::vector<LedgerRow> rows = ledger.rows;
  rows.push_back(ledger.total);
  size_t format_width = 6;
  for (const LedgerRow& row : rows) format_width = std::max(format_width, row.formats.size());

  std::string text =
      fmt::format("{:<13}  {:<{}}  {:>14}", "part", "format", format_width, "parameters");
  text += compare ? fmt::format("  {:>10}  {:>10}  {:>7}\n", "before", "after", "ratio")
                  : fmt::format("  {:>10}  {:>7}\n", "bytes", "share");
  for (const LedgerRow& row : rows) {
    text += fmt::format("{:<13}  {:<{}}  {:>14}", row.part, row.formats, format_width,
                        row.num_parameters);
    const auto after = static_cast<double>(row.after_bytes);
    const auto before = static_cast<double>(row.before_bytes);
    if (compare) {
      text += fmt::format("  {:>10}  {:>10}  {:>6.1f}%\n", FormatBytes(row.before_bytes),
                          FormatBytes(row.after_bytes), before > 0 ? 100.0 * after / before : 0.0);
    } else {
      const auto total = static_cast<double>(ledger.total.after_bytes);
      text += fmt::format("  {:>10}  {:>6.1f}%\n", FormatBytes(row.after_bytes),
                          total > 0 ? 100.0 * after / total : 0.0);
    }
  }
  return text;
}

Json LedgerJson(const ByteLedger& ledger) {
  const auto row_json = [](const LedgerRow& row) {
    Json json = {{"part", row.part}};
    if (!row.formats.empty()) json["format"] = row.formats;
    json["parameters"] = row.num_parameters;
    json["before_bytes"] = row.before_bytes;
    json["after_bytes"] = row.after_bytes;
    return json;
  };
  Json rows = Json::array();
  for (const LedgerRow& row : ledger.rows) rows.push_back(row_json(row));
  return {{"rows", std::move(rows)}, {"total", row_json(ledger.total)}};
}

}  // namespace talon

// The README.md of a quantized checkpoint: a model card with the Hub's front matter. One section is
// marked, so that `talon eval --write-card` can put measured acceptance there.
#pragma once

#include <filesystem>
#include <string>

#include "talon/quantize/ledger.h"
#include "talon/quantize/provenance.h"

namespace talon {

// `files` lists the names of the checkpoint's files beside README.md, with their sizes.
struct CardFile {
  std::string name;
  int64_t size_bytes = 0;
};

std::string MakeModelCard(const ExportRequest& request, const std::string& title,
                          const std::vector<CardFile>& files);

// Whether the card has such a section.
bool HasMeasuredSection(const std::string& card);

// The card with its measured section replaced by `markdown`. Throws kDataLoss naming `source` when
// the marks are missing.
std::string ReplaceMeasuredSection(const std::string& card, const std::string& markdown,
                                   const std::string& source);

}  // namespace talon

// d2t (draft id to offset) and t2d (mask over the verifier's vocabulary). Source:
// specs/eagle3.md 1.2, 2.6.
#include <span>
#include <vector>

#include "talon/quantize/check_steps.h"

namespace talon::check {
namespace {

// Verifier ids of the draft vocabulary; empty when d2t is unusable, which is reported.
std::vector<int64_t> DraftIds(const TensorView& d2t, int64_t vocab_size, CheckReport& report) {
  if (d2t.dtype != DType::kI64) {
    Add(report, Severity::kError, "d2t",
        "is {}: vLLM converts it silently, and BF16 cannot hold offsets; expected I64",
        Name(d2t.dtype));
    return {};
  }
  const std::span<const int64_t> offsets(reinterpret_cast<const int64_t*>(d2t.bytes.data()),
                                         d2t.bytes.size() / sizeof(int64_t));
  std::vector<int64_t> ids;
  ids.reserve(offsets.size());
  int64_t previous = -1;
  for (size_t k = 0; k < offsets.size(); ++k) {
    // Offsets far outside the vocabulary must not overflow the sum.
    const bool in_range = offsets[k] >= -vocab_size && offsets[k] < vocab_size;
    const int64_t id = in_range ? static_cast<int64_t>(k) + offsets[k] : -1;
    if (id < 0 || id >= vocab_size) {
      Add(report, Severity::kError, "d2t",
          "entry {} is {}: {} plus the offset is no id of the vocabulary of {}", k, offsets[k], k,
          vocab_size);
      return {};
    }
    if (id <= previous) {
      Add(report, Severity::kError, "d2t",
          "entry {} leads to id {}, not above the one before ({}): ids must ascend; does the file "
          "hold ids instead of offsets?",
          k, id, previous);
      return {};
    }
    previous = id;
    ids.push_back(id);
  }
  return ids;
}

void CheckMask(const TensorView& t2d, const std::vector<int64_t>& ids, CheckReport& report) {
  if (t2d.dtype != DType::kBool) {
    Add(report, Severity::kError, "t2d", "is {}; expected BOOL", Name(t2d.dtype));
    return;
  }
  if (ids.empty()) return;
  std::vector<bool> expected(t2d.bytes.size(), false);
  for (const int64_t id : ids) {
    if (id < static_cast<int64_t>(expected.size())) expected[static_cast<size_t>(id)] = true;
  }
  int64_t num_different = 0;
  int64_t first = 0;
  for (size_t id = 0; id < expected.size(); ++id) {
    if ((t2d.bytes[id] != std::byte{0}) == expected[id]) continue;
    if (num_different++ == 0) first = static_cast<int64_t>(id);
  }
  if (num_different > 0) {
    Add(report, Severity::kError, "t2d", "contradicts d2t for {} ids, first {}", num_different,
        first);
  }
}

}  // namespace

void CheckVocabularyMaps(const ModelFiles& files, CheckReport& report) {
  const Eagle3Config& config = files.layout.drafter();
  const TensorView* d2t = files.store.Find("d2t");
  const TensorView* t2d = files.store.Find("t2d");
  std::vector<int64_t> ids;
  if (d2t != nullptr) ids = DraftIds(*d2t, config.vocab_size, report);
  if (t2d != nullptr) CheckMask(*t2d, ids, report);
  if (d2t == nullptr && t2d != nullptr) {
    Add(report, Severity::kError, "t2d", "is there without d2t");
  }
}

}  // namespace talon::check

// The rule that makes drafts free of influence. The verifier chooses a token after the last
// committed one and after each draft, by argmax or by noise keyed by (seed, position); drafts are
// accepted as long as they are what was chosen, and the choice after them is committed too. So
// every committed token is one that was chosen after exactly its own prefix.
// Source: specs/eagle3.md 3.2, 3.3 (one-hot drafts).
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

namespace talon {

// `chosen[t]` is the verifier's token after the first t drafts: one more than drafts, or fewer
// where a recorded text ends; drafts beyond it are not accepted.
inline int64_t CountAccepted(std::span<const int32_t> drafts, std::span<const int32_t> chosen) {
  const auto first_wrong =
      std::mismatch(drafts.begin(), drafts.end(), chosen.begin(), chosen.end()).first;
  return first_wrong - drafts.begin();
}

}  // namespace talon

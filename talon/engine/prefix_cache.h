// Finds KV of earlier requests for the start of a new one. Full pages of final slots are published
// under a hash of all tokens up to their end; the verifier's sliding and full layers and the
// drafter depend on nothing else, but for one thing: the drafter's slot i depends on token i + 1 as
// well. So with a drafter the key of a global page includes the token after the page, and the page
// is published once that token is committed. A hit is the shortest over the families; of sliding
// pages only those in the window before its end are needed. Source: specs/eagle3.md 2.6.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "talon/engine/engine_fault.h"
#include "talon/engine/kv_pool.h"

namespace talon {

// What a sequence has to do with the cache.
struct PrefixState {
  std::vector<std::array<std::byte, 32>> text_hashes;  // of its full blocks, as far as needed
  int64_t published_sliding = 0;                       // blocks looked at for publication
  int64_t published_global = 0;
};

class PrefixCache {
 public:
  PrefixCache(KvPool& pool, int64_t sliding_window, bool has_drafter, EngineFault fault)
      : pool_(pool), window_(sliding_window), has_drafter_(has_drafter), fault_(fault) {}

  // Shares the pages of the longest known prefix of `tokens` with `pages` (which are empty) and
  // returns its length, a multiple of kKvPageTokens; at least one token is left to compute.
  int64_t Attach(std::span<const int32_t> tokens, PrefixState& state, SequencePages& pages) const;

  // Publishes full pages whose slots are final: positions [0, final_positions) in the verifier,
  // [0, final_drafter_positions) in the drafter. `tokens` are committed.
  void Publish(std::span<const int32_t> tokens, int64_t final_positions,
               int64_t final_drafter_positions, PrefixState& state,
               const SequencePages& pages) const;

 private:
  void HashBlocks(std::span<const int32_t> tokens, int64_t count, PrefixState& state) const;
  BlockKey SlidingKey(const PrefixState& state, int64_t block) const;
  BlockKey GlobalKey(std::span<const int32_t> tokens, const PrefixState& state,
                     int64_t block) const;
  // Blocks a hit may have: those known in the global family, shortened until the window before the
  // end is known in the sliding one.
  int64_t FindBlocks(std::span<const int32_t> tokens, PrefixState& state) const;
  int64_t FirstWindowBlock(int64_t end_block) const;

  KvPool& pool_;
  int64_t window_;
  bool has_drafter_;
  EngineFault fault_;
};

}  // namespace talon

#include "talon/engine/prefix_cache.h"

#include <algorithm>

#include "talon/base/hash.h"

namespace talon {
namespace {

std::span<const int32_t> Block(std::span<const int32_t> tokens, int64_t block) {
  return tokens.subspan(static_cast<size_t>(block * kKvPageTokens),
                        static_cast<size_t>(kKvPageTokens));
}

}  // namespace

void PrefixCache::HashBlocks(std::span<const int32_t> tokens, int64_t count,
                             PrefixState& state) const {
  auto& hashes = state.text_hashes;
  for (auto block = static_cast<int64_t>(hashes.size()); block < count; ++block) {
    Sha256 hash;
    if (block > 0 && fault_ != EngineFault::kHashWithoutParent) {
      hash.Update(hashes[static_cast<size_t>(block - 1)]);
    }
    hash.Update(std::as_bytes(Block(tokens, block)));
    hashes.push_back(hash.FinishBytes());
  }
}

BlockKey PrefixCache::SlidingKey(const PrefixState& state, int64_t block) const {
  return {state.text_hashes[static_cast<size_t>(block)], -1};
}

BlockKey PrefixCache::GlobalKey(std::span<const int32_t> tokens, const PrefixState& state,
                                int64_t block) const {
  BlockKey key = SlidingKey(state, block);
  if (has_drafter_ && fault_ != EngineFault::kHashWithoutSuccessor) {
    key.successor = tokens[static_cast<size_t>((block + 1) * kKvPageTokens)];
  }
  return key;
}

// The block of the first key that the first row after the prefix sees.
int64_t PrefixCache::FirstWindowBlock(int64_t end_block) const {
  return std::max<int64_t>(0, end_block * kKvPageTokens - window_ + 1) / kKvPageTokens;
}

int64_t PrefixCache::FindBlocks(std::span<const int32_t> tokens, PrefixState& state) const {
  const int64_t most = (static_cast<int64_t>(tokens.size()) - 1) / kKvPageTokens;
  int64_t best = 0;
  int64_t sliding_run = 0;  // known sliding blocks that end with the one at hand
  for (int64_t block = 0; block < most; ++block) {
    HashBlocks(tokens, block + 1, state);
    if (!pool_.global().Find(GlobalKey(tokens, state, block))) break;
    sliding_run = pool_.sliding().Find(SlidingKey(state, block)) ? sliding_run + 1 : 0;
    const int64_t end = block + 1;
    if (sliding_run >= end - FirstWindowBlock(end)) best = end;
  }
  return best;
}

int64_t PrefixCache::Attach(std::span<const int32_t> tokens, PrefixState& state,
                            SequencePages& pages) const {
  const int64_t blocks = FindBlocks(tokens, state);
  const int64_t first_window_block = FirstWindowBlock(blocks);
  for (int64_t block = 0; block < blocks; ++block) {
    const int32_t global = *pool_.global().Find(GlobalKey(tokens, state, block));
    pool_.global().Share(global);
    pages.global.push_back(global);
    if (block < first_window_block) {
      pages.sliding.push_back(-1);
      continue;
    }
    const int32_t sliding = *pool_.sliding().Find(SlidingKey(state, block));
    pool_.sliding().Share(sliding);
    pages.sliding.push_back(sliding);
  }
  state.published_sliding = blocks;
  state.published_global = blocks;
  return blocks * kKvPageTokens;
}

void PrefixCache::Publish(std::span<const int32_t> tokens, int64_t final_positions,
                          int64_t final_drafter_positions, PrefixState& state,
                          const SequencePages& pages) const {
  const auto num_tokens = static_cast<int64_t>(tokens.size());
  // Rows past the last committed token belong to drafts that came after a stop condition.
  const int64_t sliding_blocks = std::min(final_positions, num_tokens) / kKvPageTokens;
  const int64_t global_blocks =
      has_drafter_
          ? std::min({final_drafter_positions, final_positions, num_tokens - 1}) / kKvPageTokens
          : sliding_blocks;
  HashBlocks(tokens, std::max(sliding_blocks, global_blocks), state);
  for (; state.published_sliding < sliding_blocks; ++state.published_sliding) {
    const int64_t block = state.published_sliding;
    const int32_t page = pages.sliding[static_cast<size_t>(block)];
    if (page >= 0) pool_.sliding().Publish(page, SlidingKey(state, block));
  }
  for (; state.published_global < global_blocks; ++state.published_global) {
    const int64_t block = state.published_global;
    pool_.global().Publish(pages.global[static_cast<size_t>(block)],
                           GlobalKey(tokens, state, block));
  }
}

}  // namespace talon

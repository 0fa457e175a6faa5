// KV pages of all running sequences: two families (sliding layers; global layers and the drafter),
// each with its own page numbers, which every layer of the family shares.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "talon/engine/page_allocator.h"
#include "talon/model/drafter.h"
#include "talon/model/gemma.h"

namespace talon {

// A sequence's pages by position / kKvPageTokens; -1 where a page was given back.
struct SequencePages {
  std::vector<int32_t> sliding;
  std::vector<int32_t> global;
};

struct KvPoolOptions {
  int64_t sliding_pages = 0;
  int64_t global_pages = 0;
  DType verifier_dtype = DType::kBF16;
  DType drafter_dtype = DType::kBF16;
  // Fills pages with NaN when their contents are lost and before they are used again, so that a
  // read of a dead slot shows.
  bool poison = false;
};

class KvPool {
 public:
  // `drafter` may be null.
  KvPool(const GemmaModel& verifier, const Drafter* drafter, const KvPoolOptions& options);

  // Makes sure that positions [0, n) have pages in each family (those given back stay given back).
  // False, and nothing changed, when a family lacks free pages.
  bool Extend(SequencePages& pages, int64_t num_sliding_positions, int64_t num_global_positions);
  // Gives back sliding pages that lie wholly before `first_needed_position`.
  void ReleaseBefore(SequencePages& pages, int64_t first_needed_position);
  // Gives everything back, the end of the sequence first: it is evicted first.
  void Release(SequencePages& pages);
  // Fills a page with NaN, where `poison` is set.
  void Poison(AttentionKind family, int32_t page);

  KvLayers& verifier_layers() { return verifier_layers_; }
  KvLayer& drafter_layer() { return *drafter_layer_; }
  const PageAllocator& sliding() const { return sliding_; }
  const PageAllocator& global() const { return global_; }
  PageAllocator& sliding() { return sliding_; }
  PageAllocator& global() { return global_; }

  static int64_t PagesFor(int64_t positions) {
    return (positions + kKvPageTokens - 1) / kKvPageTokens;
  }
  // Pages of a sequence of up to `max_positions`, of which sliding layers need at most
  // `max_sliding_positions` at a time.
  static int64_t SlidingPagesFor(int64_t max_positions, int64_t max_sliding_positions);

 private:
  int32_t AllocateSliding();
  int32_t AllocateGlobal();
  void FreeSliding(int32_t page);
  void FreeGlobal(int32_t page);

  Backend& backend_;
  PageAllocator sliding_;
  PageAllocator global_;
  bool poison_;
  std::vector<AttentionKind> layer_types_;
  // With poison every layer has one page more, which stays NaN and is copied from.
  KvLayers verifier_layers_;
  std::optional<KvLayer> drafter_layer_;
};

}  // namespace talon

// KV pages of all running sequences: two families (sliding layers; global layers and the drafter),
// each with its own page numbers, which every layer of the family shares. Reservations make sure
// that an admitted sequence never runs out of pages.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "talon/model/drafter.h"
#include "talon/model/gemma.h"

namespace talon {

// A sequence's pages by position / kKvPageTokens; -1 where a page was given back.
struct SequencePages {
  std::vector<int32_t> sliding;
  std::vector<int32_t> global;
  int64_t reserved_sliding_pages = 0;
  int64_t reserved_global_pages = 0;
};

// Hands out page numbers [0, num_pages), lowest free number first.
class PageAllocator {
 public:
  explicit PageAllocator(int64_t num_pages);
  // Throws kResourceExhausted when none is free.
  int32_t Allocate();
  void Free(int32_t page);
  int64_t num_pages() const { return num_pages_; }
  int64_t free_pages() const { return static_cast<int64_t>(free_.size()); }

 private:
  int64_t num_pages_;
  std::vector<int32_t> free_;  // a heap, lowest on top
};

struct KvPoolOptions {
  int64_t sliding_pages = 0;
  int64_t global_pages = 0;
  DType verifier_dtype = DType::kBF16;
  DType drafter_dtype = DType::kBF16;
};

class KvPool {
 public:
  // `drafter` may be null.
  KvPool(const GemmaModel& verifier, const Drafter* drafter, const KvPoolOptions& options);

  // Sets pages aside for a sequence of up to `max_positions`, of which sliding layers need at most
  // `max_sliding_positions` at a time. False (and nothing changed) when either family lacks them.
  bool Reserve(SequencePages& pages, int64_t max_positions, int64_t max_sliding_positions);
  // Makes sure positions [0, num_positions) have pages (those given back stay given back).
  void Extend(SequencePages& pages, int64_t num_positions);
  // Gives back sliding pages that lie wholly before `first_needed_position`.
  void ReleaseBefore(SequencePages& pages, int64_t first_needed_position);
  // Gives everything back, reservation included.
  void Release(SequencePages& pages);

  KvLayers& verifier_layers() { return verifier_layers_; }
  KvLayer& drafter_layer() { return *drafter_layer_; }
  const PageAllocator& sliding() const { return sliding_; }
  const PageAllocator& global() const { return global_; }

  static int64_t PagesFor(int64_t positions) {
    return (positions + kKvPageTokens - 1) / kKvPageTokens;
  }
  // Sliding pages a sequence can hold at once (see Reserve).
  static int64_t SlidingPagesFor(int64_t max_positions, int64_t max_sliding_positions);

 private:
  PageAllocator sliding_;
  PageAllocator global_;
  int64_t reserved_sliding_ = 0;
  int64_t reserved_global_ = 0;
  KvLayers verifier_layers_;
  std::optional<KvLayer> drafter_layer_;
};

}  // namespace talon

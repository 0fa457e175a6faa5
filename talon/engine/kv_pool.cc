#include "talon/engine/kv_pool.h"

#include <algorithm>
#include <functional>

#include "talon/base/error.h"

namespace talon {

PageAllocator::PageAllocator(int64_t num_pages) : num_pages_(num_pages) {
  free_.reserve(static_cast<size_t>(num_pages));
  for (int64_t page = 0; page < num_pages; ++page) free_.push_back(static_cast<int32_t>(page));
  std::make_heap(free_.begin(), free_.end(), std::greater<>());
}

int32_t PageAllocator::Allocate() {
  if (free_.empty()) {
    Throw(ErrorCode::kResourceExhausted, "all {} KV pages are in use", num_pages_);
  }
  std::pop_heap(free_.begin(), free_.end(), std::greater<>());
  const int32_t page = free_.back();
  free_.pop_back();
  return page;
}

void PageAllocator::Free(int32_t page) {
  free_.push_back(page);
  std::push_heap(free_.begin(), free_.end(), std::greater<>());
}

KvPool::KvPool(const GemmaModel& verifier, const Drafter* drafter, const KvPoolOptions& options)
    : sliding_(options.sliding_pages),
      global_(options.global_pages),
      verifier_layers_(verifier.MakeKvLayers(options.sliding_pages, options.global_pages,
                                             options.verifier_dtype)) {
  if (drafter != nullptr) {
    drafter_layer_ = drafter->MakeKvLayer(options.global_pages, options.drafter_dtype);
  }
}

int64_t KvPool::SlidingPagesFor(int64_t max_positions, int64_t max_sliding_positions) {
  // One page more than the positions fill: neither end need lie at a page boundary.
  return std::min(PagesFor(max_positions), PagesFor(max_sliding_positions) + 1);
}

bool KvPool::Reserve(SequencePages& pages, int64_t max_positions, int64_t max_sliding_positions) {
  const int64_t global_pages = PagesFor(max_positions);
  const int64_t sliding_pages = SlidingPagesFor(max_positions, max_sliding_positions);
  if (reserved_global_ + global_pages > global_.num_pages()) return false;
  if (reserved_sliding_ + sliding_pages > sliding_.num_pages()) return false;
  pages.reserved_global_pages = global_pages;
  pages.reserved_sliding_pages = sliding_pages;
  reserved_global_ += global_pages;
  reserved_sliding_ += sliding_pages;
  return true;
}

void KvPool::Extend(SequencePages& pages, int64_t num_positions) {
  const auto needed = static_cast<size_t>(PagesFor(num_positions));
  while (pages.global.size() < needed) pages.global.push_back(global_.Allocate());
  while (pages.sliding.size() < needed) pages.sliding.push_back(sliding_.Allocate());
}

void KvPool::ReleaseBefore(SequencePages& pages, int64_t first_needed_position) {
  const auto first_needed_page =
      static_cast<size_t>(std::max<int64_t>(0, first_needed_position) / kKvPageTokens);
  const size_t end = std::min(first_needed_page, pages.sliding.size());
  // Pages are given back in order, so the first one already given back ends the walk.
  for (size_t i = end; i-- > 0 && pages.sliding[i] >= 0;) {
    sliding_.Free(pages.sliding[i]);
    pages.sliding[i] = -1;
  }
}

void KvPool::Release(SequencePages& pages) {
  for (const int32_t page : pages.sliding) {
    if (page >= 0) sliding_.Free(page);
  }
  for (const int32_t page : pages.global) global_.Free(page);
  reserved_sliding_ -= pages.reserved_sliding_pages;
  reserved_global_ -= pages.reserved_global_pages;
  pages = SequencePages();
}

}  // namespace talon

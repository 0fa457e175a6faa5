#include "talon/engine/page_allocator.h"

#include <algorithm>
#include <cstring>
#include <functional>

#include "talon/base/error.h"

namespace talon {

size_t PageAllocator::KeyHash::operator()(const BlockKey& key) const {
  size_t value = 0;
  std::memcpy(&value, key.text.data(), sizeof(value));
  return value ^ static_cast<size_t>(static_cast<uint32_t>(key.successor));
}

PageAllocator::PageAllocator(int64_t num_pages) : pages_(static_cast<size_t>(num_pages)) {
  unpublished_.reserve(pages_.size());
  for (int64_t page = 0; page < num_pages; ++page) {
    unpublished_.push_back(static_cast<int32_t>(page));
  }
  std::make_heap(unpublished_.begin(), unpublished_.end(), std::greater<>());
}

int32_t PageAllocator::Allocate() {
  int32_t page = -1;
  if (!unpublished_.empty()) {
    std::pop_heap(unpublished_.begin(), unpublished_.end(), std::greater<>());
    page = unpublished_.back();
    unpublished_.pop_back();
  } else if (!evictable_.empty()) {
    page = evictable_.front();
    evictable_.pop_front();
    by_key_.erase(*At(page).key);
    At(page).key.reset();
  } else {
    Throw(ErrorCode::kResourceExhausted, "all {} KV pages are in use", num_pages());
  }
  At(page).users = 1;
  return page;
}

void PageAllocator::Share(int32_t page) {
  Page& entry = At(page);
  CheckInternal(entry.key.has_value(), "only published pages are shared");
  if (entry.users++ == 0) evictable_.erase(entry.evictable);
}

bool PageAllocator::Free(int32_t page) {
  Page& entry = At(page);
  CheckInternal(entry.users > 0, "a page is freed once per user");
  if (--entry.users > 0) return false;
  if (entry.key) {
    entry.evictable = evictable_.insert(evictable_.end(), page);
    return false;
  }
  unpublished_.push_back(page);
  std::push_heap(unpublished_.begin(), unpublished_.end(), std::greater<>());
  return true;
}

void PageAllocator::Publish(int32_t page, const BlockKey& key) {
  Page& entry = At(page);
  CheckInternal(entry.users > 0, "a page is published by its user");
  if (entry.key || !by_key_.emplace(key, page).second) return;
  entry.key = key;
}

std::optional<int32_t> PageAllocator::Find(const BlockKey& key) const {
  const auto found = by_key_.find(key);
  return found == by_key_.end() ? std::nullopt : std::optional(found->second);
}

bool PageAllocator::writable(int32_t page) const {
  const Page& entry = pages_[static_cast<size_t>(page)];
  return entry.users == 1 && !entry.key;
}

}  // namespace talon

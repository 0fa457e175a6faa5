// Hands out the page numbers of one family. A page has users; a full page may be published under
// the key of its contents, and is then found, and shared, until it is evicted: a page without users
// is free, its published contents last until no other free page is left.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <unordered_map>
#include <vector>

namespace talon {

// What a page holds: the tokens up to its end, and the one after where the contents depend on it.
struct BlockKey {
  std::array<std::byte, 32> text;  // SHA-256, chained over the blocks of the sequence
  int32_t successor = -1;          // -1: the contents do not depend on it

  bool operator==(const BlockKey&) const = default;
};

class PageAllocator {
 public:
  explicit PageAllocator(int64_t num_pages);

  // A page with one user: the lowest number of the unpublished ones, else the page that has been
  // free for longest. Throws kResourceExhausted when none is free.
  int32_t Allocate();
  // One more user of a page that Find gave.
  void Share(int32_t page);
  // One user less. True when the contents are lost: no users, never published.
  bool Free(int32_t page);

  // Lets others find `page`. Ignored when another page has the key already.
  void Publish(int32_t page, const BlockKey& key);
  std::optional<int32_t> Find(const BlockKey& key) const;

  int64_t num_pages() const { return static_cast<int64_t>(pages_.size()); }
  int64_t free_pages() const {
    return static_cast<int64_t>(unpublished_.size() + evictable_.size());
  }
  int64_t published_pages() const { return static_cast<int64_t>(by_key_.size()); }
  // One user, not published: its slots may be written.
  bool writable(int32_t page) const;

 private:
  struct Page {
    int32_t users = 0;
    std::optional<BlockKey> key;             // when published
    std::list<int32_t>::iterator evictable;  // when published and without users
  };
  struct KeyHash {
    size_t operator()(const BlockKey& key) const;
  };
  Page& At(int32_t page) { return pages_[static_cast<size_t>(page)]; }

  std::vector<Page> pages_;
  std::vector<int32_t> unpublished_;  // free; a heap, lowest on top
  std::list<int32_t> evictable_;      // free, published; longest free first
  std::unordered_map<BlockKey, int32_t, KeyHash> by_key_;
};

}  // namespace talon

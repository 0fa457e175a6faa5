#include "talon/engine/page_allocator.h"

#include <gtest/gtest.h>

#include "talon/base/error.h"

namespace talon::test {
namespace {

BlockKey Key(uint8_t text, int32_t successor = -1) {
  BlockKey key = {};
  key.text[0] = std::byte{text};
  key.successor = successor;
  return key;
}

TEST(PageAllocator, GivesTheLowestUnpublishedPageFirst) {
  PageAllocator pages(3);
  EXPECT_EQ(pages.Allocate(), 0);
  EXPECT_EQ(pages.Allocate(), 1);
  EXPECT_TRUE(pages.Free(0)) << "never published: the contents are lost";
  EXPECT_EQ(pages.Allocate(), 0);
  EXPECT_EQ(pages.Allocate(), 2);
  EXPECT_THROW(pages.Allocate(), Error);
}

TEST(PageAllocator, PublishedPagesAreFoundUntilEvictedOldestFirst) {
  PageAllocator pages(3);
  for (uint8_t i = 0; i < 3; ++i) pages.Publish(pages.Allocate(), Key(i));
  EXPECT_FALSE(pages.Free(1));
  EXPECT_FALSE(pages.Free(0));
  EXPECT_EQ(pages.free_pages(), 2);
  EXPECT_EQ(pages.Find(Key(0)), 0);
  EXPECT_EQ(pages.Allocate(), 1) << "free for longest";
  EXPECT_EQ(pages.Find(Key(1)), std::nullopt);
  EXPECT_EQ(pages.Find(Key(0)), 0);
  pages.Share(0);
  EXPECT_THROW(pages.Allocate(), Error) << "a shared page is not evicted";
}

TEST(PageAllocator, SharedPagesAreFreeWhenTheLastUserLeaves) {
  PageAllocator pages(2);
  const int32_t page = pages.Allocate();
  EXPECT_TRUE(pages.writable(page));
  pages.Publish(page, Key(7));
  EXPECT_FALSE(pages.writable(page)) << "others may find it";
  pages.Share(page);
  pages.Free(page);
  EXPECT_EQ(pages.free_pages(), 1);
  pages.Free(page);
  EXPECT_EQ(pages.free_pages(), 2);
  EXPECT_THROW(pages.Free(page), Error);
}

TEST(PageAllocator, TheFirstPageOfAKeyStays) {
  PageAllocator pages(2);
  const int32_t first = pages.Allocate();
  const int32_t second = pages.Allocate();
  pages.Publish(first, Key(1, 5));
  pages.Publish(second, Key(1, 5));
  EXPECT_EQ(pages.Find(Key(1, 5)), first);
  EXPECT_EQ(pages.Find(Key(1, 6)), std::nullopt) << "another successor";
  EXPECT_TRUE(pages.Free(second));
}

}  // namespace
}  // namespace talon::test

// Finds added tokens in a text: leftmost, and the longest of those that start there.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace talon {

class AddedTokenMatcher {
 public:
  AddedTokenMatcher();
  // `content` must not be empty.
  void Add(std::string_view content, int32_t id);
  bool empty() const { return nodes_.empty(); }

  struct Match {
    size_t begin;
    size_t end;
    int32_t id;
  };
  // The first match that starts at `from` or later.
  std::optional<Match> Find(std::string_view text, size_t from) const;

 private:
  // A trie over bytes; the children of a node are a linked list, since few nodes have many.
  struct Node {
    unsigned char byte;
    int32_t id = -1;           // of the token that ends here
    int32_t first_child = -1;  // index
    int32_t sibling = -1;      // index
  };
  int32_t Child(int32_t first, unsigned char byte) const;

  std::vector<Node> nodes_;
  std::array<int32_t, 256> roots_;  // node of each first byte, -1 when no token starts with it
};

}  // namespace talon

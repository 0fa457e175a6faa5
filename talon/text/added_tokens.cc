#include "talon/text/added_tokens.h"

namespace talon {

AddedTokenMatcher::AddedTokenMatcher() { roots_.fill(-1); }

int32_t AddedTokenMatcher::Child(int32_t first, unsigned char byte) const {
  int32_t node = first;
  while (node >= 0 && nodes_[node].byte != byte) node = nodes_[node].sibling;
  return node;
}

void AddedTokenMatcher::Add(std::string_view content, int32_t id) {
  const auto append = [&](char byte, int32_t sibling) {
    nodes_.push_back({.byte = static_cast<unsigned char>(byte), .sibling = sibling});
    return static_cast<int32_t>(nodes_.size()) - 1;
  };
  int32_t& root = roots_[static_cast<unsigned char>(content[0])];
  if (root < 0) root = append(content[0], -1);
  int32_t node = root;
  for (const char byte : content.substr(1)) {
    int32_t child = Child(nodes_[node].first_child, static_cast<unsigned char>(byte));
    if (child < 0) {
      child = append(byte, nodes_[node].first_child);
      nodes_[node].first_child = child;
    }
    node = child;
  }
  nodes_[node].id = id;
}

std::optional<AddedTokenMatcher::Match> AddedTokenMatcher::Find(std::string_view text,
                                                                size_t from) const {
  for (size_t begin = from; begin < text.size(); ++begin) {
    std::optional<Match> longest;
    int32_t node = roots_[static_cast<unsigned char>(text[begin])];
    for (size_t end = begin + 1; node >= 0; ++end) {
      if (nodes_[node].id >= 0) longest = Match{begin, end, nodes_[node].id};
      if (end == text.size()) break;
      node = Child(nodes_[node].first_child, static_cast<unsigned char>(text[end]));
    }
    if (longest) return longest;
  }
  return std::nullopt;
}

}  // namespace talon

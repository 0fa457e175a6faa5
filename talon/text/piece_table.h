// The vocabulary: pieces by id and ids by piece. Pieces lie in one block of memory; the hash table
// is open addressing over ids, since a vocabulary of 262,144 must load in a fraction of a second.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace talon {

class PieceTable {
 public:
  // Room for `count` pieces.
  explicit PieceTable(size_t count);

  // Gives `piece` the next id; false, with nothing changed, when the piece is already there. At
  // most `count` pieces may be added.
  bool Add(std::string_view piece);

  std::optional<int32_t> Find(std::string_view piece) const;
  std::string_view Piece(int32_t id) const {
    return std::string_view{text_}.substr(begin_[id], begin_[id + 1] - begin_[id]);
  }
  bool Contains(int32_t id) const { return id >= 0 && id < size(); }
  int32_t size() const { return static_cast<int32_t>(begin_.size()) - 1; }

 private:
  struct Slot {
    uint32_t hash = 0;
    int32_t id = -1;
  };
  // The slot that holds `piece`, or the empty one where it would go.
  size_t Probe(std::string_view piece, uint32_t hash) const;

  std::string text_;
  std::vector<uint32_t> begin_;  // [pieces + 1] offsets into text_
  std::vector<Slot> slots_;      // [a power of two]
};

}  // namespace talon

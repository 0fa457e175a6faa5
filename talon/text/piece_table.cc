#include "talon/text/piece_table.h"

#include <bit>
#include <functional>
#include <limits>

#include "talon/base/error.h"

namespace talon {
namespace {

uint32_t Hash(std::string_view piece) {
  return static_cast<uint32_t>(std::hash<std::string_view>()(piece));
}

}  // namespace

PieceTable::PieceTable(size_t count) : begin_{0}, slots_(std::bit_ceil(count + count / 2 + 1)) {
  begin_.reserve(count + 1);
  text_.reserve(8 * count);
}

size_t PieceTable::Probe(std::string_view piece, uint32_t hash) const {
  const size_t mask = slots_.size() - 1;
  for (size_t i = hash & mask;; i = (i + 1) & mask) {
    const Slot& slot = slots_[i];
    if (slot.id < 0 || (slot.hash == hash && Piece(slot.id) == piece)) return i;
  }
}

bool PieceTable::Add(std::string_view piece) {
  CheckInternal(begin_.size() < slots_.size(), "more pieces than the table has room for");
  CheckInternal(text_.size() + piece.size() <= std::numeric_limits<uint32_t>::max(),
                "vocabulary text beyond 4 GiB");
  const uint32_t hash = Hash(piece);
  Slot& slot = slots_[Probe(piece, hash)];
  if (slot.id >= 0) return false;
  slot = {hash, size()};
  text_ += piece;
  begin_.push_back(static_cast<uint32_t>(text_.size()));
  return true;
}

std::optional<int32_t> PieceTable::Find(std::string_view piece) const {
  const Slot& slot = slots_[Probe(piece, Hash(piece))];
  if (slot.id < 0) return std::nullopt;
  return slot.id;
}

}  // namespace talon

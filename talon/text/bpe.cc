#include "talon/text/bpe.h"

#include <algorithm>
#include <bit>
#include <optional>
#include <queue>
#include <utility>

#include "talon/base/error.h"
#include "talon/text/utf8.h"

namespace talon {

MergeTable::MergeTable(size_t count) : slots_(std::bit_ceil(2 * count + 2)) {
  shift_ = 64 - std::countr_zero(slots_.size());
}

size_t MergeTable::Probe(uint64_t pair) const {
  const size_t mask = slots_.size() - 1;
  size_t i = static_cast<size_t>((pair * 0x9E3779B97F4A7C15u) >> shift_);
  while (slots_[i].pair != kEmpty && slots_[i].pair != pair) i = (i + 1) & mask;
  return i;
}

namespace {

uint64_t Pair(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

}  // namespace

void MergeTable::Set(int32_t left, int32_t right, Merge merge) {
  Slot& slot = slots_[Probe(Pair(left, right))];
  if (slot.pair == kEmpty) {
    CheckInternal(2 * ++used_ <= slots_.size(), "more merges than the table has room for");
  }
  slot = {Pair(left, right), merge};
}

const MergeTable::Merge* MergeTable::Find(int32_t left, int32_t right) const {
  const Slot& slot = slots_[Probe(Pair(left, right))];
  return slot.pair == kEmpty ? nullptr : &slot.merge;
}

// A piece of the span, linked to its neighbours. A symbol merged into its left neighbour has id -1.
struct BpeEncoder::Symbol {
  int32_t id;
  int32_t previous;  // index, -1 at the start
  int32_t next;      // index, -1 at the end
};

namespace {

// A pair that may merge: the symbol at `left` with its next. It is stale once either has grown.
struct Candidate {
  int32_t rank;
  int32_t left;  // index
  int32_t left_id;
  int32_t right_id;
  int32_t merged_id;
  bool operator>(const Candidate& other) const {
    return rank != other.rank ? rank > other.rank : left > other.left;
  }
};

}  // namespace

BpeEncoder::BpeEncoder(const PieceTable& pieces, MergeTable merges,
                       const std::array<int32_t, 256>& byte_ids)
    : merges_(std::move(merges)), byte_ids_(byte_ids) {
  for (int32_t id = 0; id < pieces.size(); ++id) {
    const std::string_view piece = pieces.Piece(id);
    if (piece.empty() || Utf8Length(piece[0]) != piece.size()) continue;
    const uint32_t code_point = Utf8CodePoint(piece);
    if (code_point >= id_of_code_point_.size()) id_of_code_point_.resize(code_point + 1, -1);
    id_of_code_point_[code_point] = id;
  }
}

std::vector<BpeEncoder::Symbol> BpeEncoder::InitialSymbols(std::string_view span) const {
  std::vector<Symbol> symbols;
  symbols.reserve(span.size());
  const auto append = [&](int32_t id) {
    const auto index = static_cast<int32_t>(symbols.size());
    symbols.push_back({id, index - 1, index + 1});
  };
  for (size_t i = 0; i < span.size();) {
    const std::string_view character = span.substr(i, Utf8Length(span[i]));
    const uint32_t code_point = Utf8CodePoint(character);
    const int32_t id = code_point < id_of_code_point_.size() ? id_of_code_point_[code_point] : -1;
    if (id >= 0) {
      append(id);
    } else {
      for (const char byte : character) append(byte_ids_[static_cast<unsigned char>(byte)]);
    }
    i += character.size();
  }
  symbols.back().next = -1;
  return symbols;
}

void BpeEncoder::Encode(std::string_view span, std::vector<int32_t>* ids) const {
  if (span.empty()) return;
  std::vector<Symbol> symbols = InitialSymbols(span);
  std::vector<Candidate> candidates;
  candidates.reserve(symbols.size());
  const auto candidate = [&](int32_t left) -> std::optional<Candidate> {
    if (left < 0 || symbols[left].next < 0) return std::nullopt;
    const int32_t left_id = symbols[left].id;
    const int32_t right_id = symbols[symbols[left].next].id;
    const auto* merge = merges_.Find(left_id, right_id);
    if (merge == nullptr) return std::nullopt;
    return Candidate{merge->rank, left, left_id, right_id, merge->id};
  };
  for (int32_t i = 0; i < static_cast<int32_t>(symbols.size()); ++i) {
    if (const auto found = candidate(i)) candidates.push_back(*found);
  }
  std::priority_queue queue(std::greater<Candidate>(), std::move(candidates));
  while (!queue.empty()) {
    const Candidate top = queue.top();
    queue.pop();
    Symbol& left = symbols[top.left];
    if (left.id != top.left_id || left.next < 0 || symbols[left.next].id != top.right_id) continue;
    Symbol& right = symbols[left.next];
    left.id = top.merged_id;
    left.next = right.next;
    right.id = -1;
    if (left.next >= 0) symbols[left.next].previous = top.left;
    if (const auto found = candidate(left.previous)) queue.push(*found);
    if (const auto found = candidate(top.left)) queue.push(*found);
  }
  for (int32_t i = 0; i >= 0; i = symbols[i].next) ids->push_back(symbols[i].id);
}

}  // namespace talon

// Byte-pair encoding by merge ranks with byte fallback: the adjacent pair of lowest rank is merged
// first, the leftmost on equal rank. Source: specs/gemma.md 4.2.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "talon/text/piece_table.h"

namespace talon {

// What merging a pair of pieces gives, by (left id, right id).
class MergeTable {
 public:
  struct Merge {
    int32_t rank;
    int32_t id;  // of the merged piece
  };

  // Room for `count` pairs.
  explicit MergeTable(size_t count);

  // Records a pair; a later record of the same pair replaces the earlier one.
  void Set(int32_t left, int32_t right, Merge merge);
  // nullptr when the pair does not merge.
  const Merge* Find(int32_t left, int32_t right) const;

 private:
  struct Slot {
    uint64_t pair = kEmpty;
    Merge merge = {};
  };
  static constexpr uint64_t kEmpty = ~uint64_t{0};
  size_t Probe(uint64_t pair) const;

  std::vector<Slot> slots_;  // [a power of two]
  int shift_;
  size_t used_ = 0;
};

class BpeEncoder {
 public:
  // `byte_ids` are the ids of <0x00> to <0xFF>. `pieces` need not outlive the encoder.
  BpeEncoder(const PieceTable& pieces, MergeTable merges, const std::array<int32_t, 256>& byte_ids);

  // Appends the ids of one span of normalized, valid UTF-8.
  void Encode(std::string_view span, std::vector<int32_t>* ids) const;

 private:
  struct Symbol;
  std::vector<Symbol> InitialSymbols(std::string_view span) const;

  MergeTable merges_;
  std::array<int32_t, 256> byte_ids_;
  std::vector<int32_t> id_of_code_point_;  // -1: spelled in byte pieces; shorter than Unicode
};

}  // namespace talon

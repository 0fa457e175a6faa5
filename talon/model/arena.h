// Scratch memory of forward passes: views are taken in order and all given back at once by Reset().
// Blocks are kept, so that a steady stream of passes allocates nothing.
#pragma once

#include <cstdint>
#include <vector>

#include "talon/backend/backend.h"

namespace talon {

class Arena {
 public:
  explicit Arena(Backend& backend) : backend_(backend) {}

  // A contiguous [rows, cols] tensor, uninitialized, valid until Reset().
  Tensor Take(int64_t rows, int64_t cols, DType dtype);
  // Raw memory for `count` elements of T, valid until Reset().
  template <typename T>
  T* TakeArray(int64_t count) {
    return static_cast<T*>(TakeBytes(count * static_cast<int64_t>(sizeof(T))));
  }
  void Reset();
  int64_t capacity_bytes() const;

  // Gives back, on destruction, everything taken since construction.
  class Scope {
   public:
    explicit Scope(Arena& arena) : arena_(arena), block_(arena.block_), used_(arena.used_bytes_) {}
    ~Scope() {
      arena_.block_ = block_;
      arena_.used_bytes_ = used_;
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Arena& arena_;
    size_t block_;
    int64_t used_;
  };

 private:
  struct Block {
    Buffer memory;
    int64_t size_bytes = 0;
  };
  void* TakeBytes(int64_t size_bytes);

  Backend& backend_;
  std::vector<Block> blocks_;
  size_t block_ = 0;        // the block in use
  int64_t used_bytes_ = 0;  // of that block
};

}  // namespace talon

#include "talon/model/arena.h"

#include <algorithm>

namespace talon {
namespace {

constexpr int64_t kAlignmentBytes = 256;
constexpr int64_t kMinBlockBytes = int64_t{4} << 20;

}  // namespace

Tensor Arena::Take(int64_t rows, int64_t cols, DType dtype) {
  return {TakeBytes(rows * cols * SizeOf(dtype)), dtype, rows, cols, cols};
}

void* Arena::TakeBytes(int64_t size_bytes) {
  const int64_t rounded = (size_bytes + kAlignmentBytes - 1) / kAlignmentBytes * kAlignmentBytes;
  while (block_ < blocks_.size() && used_bytes_ + rounded > blocks_[block_].size_bytes) {
    ++block_;
    used_bytes_ = 0;
  }
  if (block_ == blocks_.size()) {
    const int64_t block_bytes = std::max(rounded, kMinBlockBytes);
    blocks_.push_back({backend_.Allocate(block_bytes), block_bytes});
    used_bytes_ = 0;
  }
  void* result = static_cast<std::byte*>(blocks_[block_].memory.get()) + used_bytes_;
  used_bytes_ += rounded;
  return result;
}

void Arena::Reset() {
  block_ = 0;
  used_bytes_ = 0;
}

int64_t Arena::capacity_bytes() const {
  int64_t total = 0;
  for (const Block& block : blocks_) total += block.size_bytes;
  return total;
}

}  // namespace talon

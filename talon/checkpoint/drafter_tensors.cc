#include "talon/checkpoint/drafter_tensors.h"

#include <cstring>

#include "talon/base/error.h"
#include "talon/checkpoint/linear_scales.h"

namespace talon {
namespace {

std::vector<int32_t> ReadOffsets(const TensorView& d2t, const Eagle3Config& config) {
  CheckTensor(d2t, DType::kI64, {config.draft_vocab_size});
  std::vector<int32_t> offsets(static_cast<size_t>(config.draft_vocab_size));
  int64_t previous = -1;
  for (int64_t k = 0; k < config.draft_vocab_size; ++k) {
    int64_t offset = 0;
    std::memcpy(&offset, d2t.bytes.data() + 8 * k, 8);
    // Subtracting cannot overflow, adding a corrupt offset could.
    if (offset < -k || offset >= config.vocab_size - k) {
      Throw(ErrorCode::kDataLoss,
            "{}: [{}] = {} leads to token {} + {}, outside the vocabulary of {}", d2t.Where(), k,
            offset, k, offset, config.vocab_size);
    }
    if (k + offset <= previous) {
      Throw(
          ErrorCode::kDataLoss,
          "{}: [{}] = {} leads to token {}, not above token {} of the row before; it holds offsets "
          "(id - row), and the ids must rise",
          d2t.Where(), k, offset, k + offset, previous);
    }
    previous = k + offset;
    offsets[static_cast<size_t>(k)] = static_cast<int32_t>(offset);
  }
  return offsets;
}

void CheckMask(const TensorView& t2d, const std::vector<int32_t>& offsets, int64_t vocab_size) {
  CheckTensor(t2d, DType::kBool, {vocab_size});
  size_t next = 0;  // the draft row whose target comes next
  for (int64_t id = 0; id < vocab_size; ++id) {
    const auto marked = std::to_integer<uint8_t>(t2d.bytes[static_cast<size_t>(id)]);
    if (marked > 1) {
      Throw(ErrorCode::kDataLoss, "{}: [{}] is {}, expected 0 or 1", t2d.Where(), id, marked);
    }
    const bool drafted = next < offsets.size() && static_cast<int64_t>(next) + offsets[next] == id;
    if (drafted) ++next;
    if (drafted != (marked == 1)) {
      Throw(ErrorCode::kDataLoss, "{}: [{}] is {}, but d2t says that token {} is {}drafted",
            t2d.Where(), id, marked == 1, id, drafted ? "" : "not ");
    }
  }
}

}  // namespace

std::vector<int32_t> LoadDraftOffsets(const TensorStore& store, const Eagle3Config& config) {
  std::vector<int32_t> offsets;
  if (store.Find("d2t") != nullptr || config.draft_vocab_size != config.vocab_size) {
    offsets = ReadOffsets(store.Get("d2t"), config);
  } else {
    offsets.assign(static_cast<size_t>(config.draft_vocab_size), 0);
  }
  if (const TensorView* t2d = store.Find("t2d")) CheckMask(*t2d, offsets, config.vocab_size);
  return offsets;
}

}  // namespace talon

// The vocabulary maps of an EAGLE-3 drafter: which target token each row of its lm_head stands for.
// Source: specs/eagle3.md 1.2, 3.4.
#pragma once

#include <cstdint>
#include <vector>

#include "talon/checkpoint/model_config.h"
#include "talon/checkpoint/safetensors.h"

namespace talon {

// offsets[k] with target id = k + offsets[k], from `d2t` (I64 [draft_vocab_size]); all zero when
// the file has no d2t because the vocabularies are equal. Throws kDataLoss naming tensor and index
// unless the targets rise strictly, lie inside the vocabulary and are exactly those that `t2d`
// (BOOL [vocab_size]) marks; kNotFound when a needed d2t is missing. An absent t2d is allowed.
std::vector<int32_t> LoadDraftOffsets(const TensorStore& store, const Eagle3Config& config);

}  // namespace talon

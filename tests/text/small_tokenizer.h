// A hand-made tokenizer.json for tests: byte pieces, a few characters and merges, added tokens.
#pragma once

#include "talon/base/json.h"

namespace talon::test {

// Ids: 0 <pad>, 1 <eos>, 2 <bos>, 3 <unk>, then <0x00> to <0xFF> (4 to 259), then from 260:
// "▁", "a", "b", "c", "ab", "bc", "abc", "▁a", "\n", and the added tokens "<x>", "<x><y>" (not
// special), "[n m]" (normalized). Merges, best first: b+c, a+b, a+bc, ▁+a.
Json SmallTokenizerJson();

}  // namespace talon::test

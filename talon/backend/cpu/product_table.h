// Every product e2m1 * e4m3 in BF16, where it is exact: the weights of an NVFP4 block by its scale.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace talon::cpu {

// [E4M3 code of the block scale][E2M1 code], 8 KiB: it stays in the first-level cache, and a row of
// it is a shuffle table for one block.
struct alignas(64) Nvfp4ProductTable {
  std::array<std::array<uint16_t, 16>, 256> bits;
};

const Nvfp4ProductTable& Nvfp4Products();

}  // namespace talon::cpu

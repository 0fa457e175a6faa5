// See product_table.h.
#include "talon/backend/cpu/product_table.h"

#include "talon/numeric/bf16.h"
#include "talon/numeric/e2m1.h"
#include "talon/numeric/e4m3.h"

namespace talon::cpu {
namespace {

Nvfp4ProductTable MakeTable() {
  Nvfp4ProductTable table{};
  for (size_t scale = 0; scale < 256; ++scale) {
    for (size_t code = 0; code < 16; ++code) {
      table.bits[scale][code] = FloatToBf16(DecodeE2m1(static_cast<uint8_t>(code)) *
                                            DecodeE4m3(static_cast<uint8_t>(scale)));
    }
  }
  return table;
}

}  // namespace

const Nvfp4ProductTable& Nvfp4Products() {
  static const Nvfp4ProductTable kTable = MakeTable();
  return kTable;
}

}  // namespace talon::cpu

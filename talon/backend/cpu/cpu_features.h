// Which kernels this processor can run.
#pragma once

#include <string_view>

namespace talon::cpu {

enum class Isa {
  kGeneric,     // what Highway finds at run time: AVX-512, AVX2, NEON
  kAvx512Bf16,  // AVX-512 F, BW, DQ, VL, VBMI and BF16: the files *_avx512bf16.cc
};

// The best of this processor, found once.
Isa DetectIsa();

std::string_view Name(Isa isa);

}  // namespace talon::cpu

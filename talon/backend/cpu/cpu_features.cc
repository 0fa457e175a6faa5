// See cpu_features.h.
#include "talon/backend/cpu/cpu_features.h"

namespace talon::cpu {

Isa DetectIsa() {
#if defined(__x86_64__)
  static const bool avx512_bf16 =
      __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512bf16") &&
      __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  if (avx512_bf16) return Isa::kAvx512Bf16;
#endif
  return Isa::kGeneric;
}

std::string_view Name(Isa isa) { return isa == Isa::kAvx512Bf16 ? "avx512_bf16" : "generic"; }

}  // namespace talon::cpu

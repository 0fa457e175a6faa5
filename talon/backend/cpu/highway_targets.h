// The instruction sets that Highway files are built for: AVX2 and AVX-512 on x86-64, NEON on
// AArch64. Include before <hwy/foreach_target.h>. The baseline of x86-64 (SSE2, no FMA) is
// Highway's scalar target; there the files forward to the scalar references.
#pragma once

// Compilers without GCC 12's fault would take EMU128 as the baseline, whose multiply-add rounds
// twice.
#define HWY_BROKEN_EMU128 1

#include <hwy/detect_targets.h>

// The skipped x86 sets lack FMA or add nothing these kernels use; SVE vectors have no fixed size.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)

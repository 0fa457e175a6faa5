// What this machine can do at best, measured beside a kernel: bytes read per second from memory and
// products per second from registers, with all threads of a pool.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <vector>

#include "talon/backend/cpu/cpu_features.h"
#include "talon/base/thread_pool.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace talon::bench {

inline double Seconds() {
  using Clock = std::chrono::steady_clock;
  return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

// Streams over a buffer much larger than the caches; one pass gives one measurement, the best
// counts.
class ReadBandwidth {
 public:
  explicit ReadBandwidth(ThreadPool& pool) : pool_(pool), words_(kBytes / 8, 1) {}

  // One pass; returns the best bytes per second so far.
  double Measure() {
    const double start = Seconds();
    pool_.Run(kChunks, [&](int64_t chunk) {
      const uint64_t* at = words_.data() + chunk * kChunkWords;
      uint64_t sums[32] = {};
      for (int64_t i = 0; i < kChunkWords; i += 32) {
        for (int64_t lane = 0; lane < 32; ++lane) sums[lane] ^= at[i + lane];
      }
      uint64_t sum = 0;
      for (const uint64_t s : sums) sum ^= s;
      sink_[chunk % 64] = sum;
    });
    best_ = std::max(best_, static_cast<double>(kBytes) / (Seconds() - start));
    return best_;
  }

 private:
  static constexpr int64_t kBytes = int64_t{128} << 20;
  static constexpr int64_t kChunks = 128;
  static constexpr int64_t kChunkWords = kBytes / 8 / kChunks;

  ThreadPool& pool_;
  std::vector<uint64_t> words_;
  volatile uint64_t sink_[64] = {};
  double best_ = 0.0;
};

#if defined(__x86_64__)
// Floating-point operations of one burst of independent VDPBF16PS chains on register operands.
__attribute__((target("avx512f,avx512bf16"))) inline double Bf16Burst(int64_t repeats) {
  constexpr int kChains = 14;
  __m512 acc[kChains];
  for (auto& a : acc) a = _mm512_set1_ps(1.0f);
  auto one = (__m512bh)_mm512_set1_epi16(0x3F80);
  for (int64_t i = 0; i < repeats; ++i) {
    for (auto& a : acc) a = _mm512_dpbf16_ps(a, one, one);
    asm volatile("" : "+v"(one));
  }
  for (auto& a : acc) asm volatile("" : "+v"(a));
  return static_cast<double>(repeats) * kChains * 64.0;
}

// The same for FP32 fused multiply-adds of 8 lanes.
__attribute__((target("avx2,fma"))) inline double F32Burst(int64_t repeats) {
  constexpr int kChains = 12;
  __m256 acc[kChains];
  for (auto& a : acc) a = _mm256_set1_ps(1.0f);
  auto one = _mm256_set1_ps(1.0f);
  for (int64_t i = 0; i < repeats; ++i) {
    for (auto& a : acc) a = _mm256_fmadd_ps(one, one, a);
    asm volatile("" : "+x"(one));
  }
  for (auto& a : acc) asm volatile("" : "+x"(a));
  return static_cast<double>(repeats) * kChains * 16.0;
}
#endif

// Floating-point operations per second of all threads: BF16 dot products where the processor has
// them, FP32 fused multiply-adds otherwise. 0 where no burst is written for the processor.
class ComputePeak {
 public:
  explicit ComputePeak(ThreadPool& pool) : pool_(pool) {}

  double Measure() {
#if defined(__x86_64__)
    const bool bf16 = cpu::DetectIsa() == cpu::Isa::kAvx512Bf16;
    if (!bf16 && !__builtin_cpu_supports("fma")) return 0.0;
    const int threads = pool_.num_threads();
    constexpr int64_t kRepeats = 20000;
    constexpr int64_t kTasksPerThread = 8;
    std::vector<double> operations(static_cast<size_t>(threads * kTasksPerThread));
    const double start = Seconds();
    pool_.Run(static_cast<int64_t>(operations.size()), [&](int64_t i) {
      operations[static_cast<size_t>(i)] = bf16 ? Bf16Burst(kRepeats) : F32Burst(kRepeats);
    });
    const double seconds = Seconds() - start;
    double total = 0.0;
    for (const double count : operations) total += count;
    best_ = std::max(best_, total / seconds);
#endif
    return best_;
  }

 private:
  ThreadPool& pool_;
  double best_ = 0.0;
};

}  // namespace talon::bench

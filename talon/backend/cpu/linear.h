// Linear layers: y = x W^T for every weight format, in the one K order of docs/numerics.md 1.
//
// A job is 4 output features at a time against tiles of up to 4 input rows, leaf by leaf. A decode
// step (one tile) streams the weights once; a prefill (many tiles) decodes each leaf of 4 weight
// rows once into the first-level cache and multiplies it with every tile. Either way an output is
// the same chain of additions, so its bits depend on its row alone.
#pragma once

#include <cstdint>
#include <span>

#include "talon/backend/backend.h"
#include "talon/backend/cpu/cpu_features.h"
#include "talon/backend/cpu/packed_inputs.h"
#include "talon/base/thread_pool.h"

namespace talon::cpu {

// Output features [out_begin, out_end) of `weight` for tiles [tile_begin, tile_end) of `inputs`.
struct LinearJob {
  const LinearWeight* weight = nullptr;
  int64_t out_begin = 0;
  int64_t out_end = 0;
  const PackedInputs* inputs = nullptr;
  int64_t tile_begin = 0;
  int64_t tile_end = 0;  // at most kMaxJobTiles further
  Tensor out;            // [rows, out_features]
};

inline constexpr int64_t kMaxJobTiles = 64;
inline constexpr int64_t kJobFeatures = 4;   // output features computed together: a group
inline constexpr int64_t kMaxJobGroups = 4;  // groups of a job of several tiles

// The kernels. Inputs must be packed as kBf16 for the first and kF32 for the second.
void RunLinearAvx512Bf16(const LinearJob& job) noexcept;
void RunLinearGeneric(const LinearJob& job) noexcept;
// The generic order in scalar code, for processors without FMA vectors.
void RunLinearScalar(const LinearJob& job) noexcept;

// Computes linears that share an input; owns the packed copies of it.
class LinearOp {
 public:
  LinearOp(Isa isa, ThreadPool& pool) : isa_(isa), pool_(pool) {}
  void Run(const Tensor& x, std::span<const LinearOutput> outputs);

 private:
  // Linears of one Run that read the same packed inputs.
  void RunGroup(const Tensor& x, std::span<const LinearOutput> outputs);

  Isa isa_;
  ThreadPool& pool_;
  PackedInputs inputs_;
};

}  // namespace talon::cpu

// Splits linears into jobs and picks their kernel.
#include "talon/backend/cpu/linear.h"

#include <algorithm>
#include <vector>

#include "talon/backend/cpu/element.h"
#include "talon/backend/cpu/k_order.h"
#include "talon/backend/cpu/reference.h"

namespace talon::cpu {
namespace {

// Bytes of weights a job of one tile streams: enough to hide its start, few enough to balance the
// threads.
constexpr int64_t kStreamBytes = int64_t{512} << 10;
// Output features of a job of many tiles.
constexpr int64_t kManyTileFeatures = 64;

// Bytes of one leaf of the inputs that a job of many tiles finds in the second-level cache.
constexpr int64_t kLeafInputBytes = int64_t{384} << 10;

// FP32 inputs need FP32 products, except under W4A4, whose quantized inputs are exact in BF16.
InputKind KindFor(const LinearWeight& weight, const Tensor& x, Isa isa) {
  const bool exact_in_bf16 = x.dtype == DType::kBF16 || weight.numerics == LinearNumerics::kW4A4;
  return isa == Isa::kAvx512Bf16 && exact_in_bf16 ? InputKind::kBf16 : InputKind::kF32;
}

float InputScale(const LinearWeight& weight) {
  return weight.numerics == LinearNumerics::kW4A4 ? weight.input_scale : 0.0f;
}

int64_t RowBytes(const LinearWeight& weight) {
  switch (weight.format) {
    case LinearFormat::kBF16:
      return weight.in_features * 2;
    case LinearFormat::kF8:
      return weight.in_features;
    case LinearFormat::kNvfp4:
      return weight.in_features * 9 / 16;
  }
  return weight.in_features;
}

// Output features per job: a multiple of kJobFeatures that gives each thread several jobs.
int64_t FeaturesPerJob(const LinearWeight& weight, int64_t num_tiles, int num_threads) {
  const int64_t wanted = num_tiles == 1 ? kStreamBytes / RowBytes(weight) : kManyTileFeatures;
  const int64_t by_threads = weight.out_features / (4 * num_threads);
  const int64_t features = std::max<int64_t>(1, std::min(wanted, by_threads));
  return (features + kJobFeatures - 1) / kJobFeatures * kJobFeatures;
}

int64_t TilesPerJob(const LinearWeight& weight, const PackedInputs& inputs) {
  const int64_t element_bytes = inputs.kind() == InputKind::kBf16 ? 2 : 4;
  const int64_t leaf_bytes = inputs.tile_stride() * element_bytes / LeafCount(weight.in_features);
  return std::clamp<int64_t>(kLeafInputBytes / leaf_bytes, 4, kMaxJobTiles);
}

void AppendJobs(const LinearOutput& output, const PackedInputs& inputs, int num_threads,
                std::vector<LinearJob>& jobs) {
  const LinearWeight& weight = *output.weight;
  const int64_t features = FeaturesPerJob(weight, inputs.num_tiles(), num_threads);
  const int64_t tiles = TilesPerJob(weight, inputs);
  for (int64_t tile = 0; tile < inputs.num_tiles(); tile += tiles) {
    for (int64_t o = 0; o < weight.out_features; o += features) {
      jobs.push_back({.weight = output.weight,
                      .out_begin = o,
                      .out_end = std::min(o + features, weight.out_features),
                      .inputs = &inputs,
                      .tile_begin = tile,
                      .tile_end = std::min(tile + tiles, inputs.num_tiles()),
                      .out = output.out});
    }
  }
}

}  // namespace

void RunLinearScalar(const LinearJob& job) noexcept {
  const LinearWeight& weight = *job.weight;
  const int64_t k = weight.in_features;
  const int64_t tile_rows = job.inputs->tile_rows();
  std::vector<float> w(static_cast<size_t>(k));
  std::vector<float> x(static_cast<size_t>(k));
  for (int64_t o = job.out_begin; o < job.out_end; ++o) {
    for (int64_t i = 0; i < k; ++i)
      w[static_cast<size_t>(i)] = reference::WeightElement(weight, o, i);
    const int64_t row_end = std::min(job.tile_end * tile_rows, job.out.rows);
    for (int64_t row = job.tile_begin * tile_rows; row < row_end; ++row) {
      job.inputs->UnpackRow(row, x);
      Store(job.out, row, o,
            reference::OrderedDot(x.data(), w.data(), k) * reference::OutputFactor(weight, o));
    }
  }
}

void LinearOp::Run(const Tensor& x, std::span<const LinearOutput> outputs) {
  // Adjacent outputs whose inputs are packed alike (all, but for mixed numerics) run as one.
  size_t begin = 0;
  while (begin < outputs.size()) {
    const LinearWeight& first = *outputs[begin].weight;
    size_t end = begin + 1;
    while (end < outputs.size() && InputScale(*outputs[end].weight) == InputScale(first)) ++end;
    RunGroup(x, outputs.subspan(begin, end - begin));
    begin = end;
  }
}

void LinearOp::RunGroup(const Tensor& x, std::span<const LinearOutput> outputs) {
  const LinearWeight& first = *outputs.front().weight;
  const InputKind kind = KindFor(first, x, isa_);
  inputs_.Pack(x, kind, InputScale(first), pool_);
  std::vector<LinearJob> jobs;
  for (const LinearOutput& output : outputs) {
    AppendJobs(output, inputs_, pool_.num_threads(), jobs);
  }
  pool_.Run(static_cast<int64_t>(jobs.size()), [&](int64_t i) {
    const LinearJob& job = jobs[static_cast<size_t>(i)];
    if (kind == InputKind::kBf16) {
      RunLinearAvx512Bf16(job);
    } else {
      RunLinearGeneric(job);
    }
  });
}

}  // namespace talon::cpu

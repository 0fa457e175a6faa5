// CudaBackend's linears: from checkpoint weights to the repacked layout, and launches.
#include <algorithm>

#include "talon/backend/cuda/cuda_backend.h"
#include "talon/backend/cuda/cuda_check.h"
#include "talon/backend/cuda/linear_f32.h"
#include "talon/backend/cuda/many_rows.h"
#include "talon/backend/cuda/nvfp4_bits.h"
#include "talon/backend/cuda/repack.h"
#include "talon/backend/cuda/row_ops.h"

namespace talon::cuda {
namespace {

constexpr int64_t kAlignment = 8;  // BF16 elements in 16 bytes

void CheckShape(const HostLinear& linear) {
  CheckInternal(linear.data != nullptr && linear.out_features > 0 && linear.in_features > 0,
                "a linear has data and a shape");
  const int64_t multiple = linear.format == LinearFormat::kNvfp4 ? 16 : kAlignment;
  if (linear.in_features % multiple != 0) {
    Throw(ErrorCode::kUnsupported,
          "{}: {} columns, but the CUDA backend needs a multiple of {} for this format; use "
          "--device cpu",
          linear.name, linear.in_features, multiple);
  }
}

int64_t FileBytes(const HostLinear& linear) {
  const int64_t count = linear.out_features * linear.in_features;
  switch (linear.format) {
    case LinearFormat::kBF16:
      return count * 2;
    case LinearFormat::kF8:
      return count;
    case LinearFormat::kNvfp4:
      return count / 2;
  }
  return 0;
}

// The packed weights and, for FP8 per channel, their row scales.
struct DeviceWeight {
  Buffer packed;
  Buffer row_scales;
};

// What multiplies the finished sum, apart from row scales.
float SumScale(const LinearWeight& weight) {
  if (weight.format == LinearFormat::kBF16 || weight.row_scales != nullptr) return 1.0f;
  const float stored = weight.format == LinearFormat::kNvfp4 ? kNvfp4SumScale : 1.0f;
  const float scale = weight.numerics == LinearNumerics::kW4A4
                          ? weight.input_scale * weight.weight_scale
                          : weight.weight_scale;
  return scale * stored;
}

LinearSegment SegmentOf(const LinearOutput& output) {
  const LinearWeight& weight = *output.weight;
  LinearSegment segment;
  segment.weights = static_cast<const uint8_t*>(weight.data);
  segment.row_scales = weight.row_scales;
  segment.out = output.out.data;
  segment.out_stride = output.out.row_stride;
  segment.sum_scale = SumScale(weight);
  segment.out_features = static_cast<int>(weight.out_features);
  segment.out_is_f32 = output.out.dtype == DType::kF32;
  return segment;
}

// Linears that can share a launch: same weights' format, same treatment of the input.
bool ShareInput(const LinearWeight& a, const LinearWeight& b) {
  return a.format == b.format && a.numerics == b.numerics &&
         (a.numerics == LinearNumerics::kWeightOnly || a.input_scale == b.input_scale);
}

}  // namespace

LinearWeight CudaBackend::MakeLinear(const HostLinear& linear, LinearNumerics numerics) {
  CheckShape(linear);
  const bool nvfp4 = linear.format == LinearFormat::kNvfp4;
  if (nvfp4 && numerics == LinearNumerics::kW4A4 && !(linear.input_scale > 0.0f)) {
    Throw(ErrorCode::kInvalidArgument,
          "{}: no input_scale in the checkpoint, which W4A4 needs; use --numerics w4a16",
          linear.name);
  }
  const LinearLayout layout = LayoutOf(linear.format, linear.out_features, linear.in_features);
  auto owner = std::make_shared<DeviceWeight>();
  owner->packed = Allocate(layout.SizeBytes());
  const Buffer data = Import(linear.data, FileBytes(linear), linear.owner);
  Buffer scales;
  if (nvfp4) {
    const int64_t bytes = linear.out_features * linear.in_features / 16;
    scales = Import(linear.block_scales, bytes, linear.owner);
  }
  const Buffer nan_found = Allocate(sizeof(uint32_t));
  Check(cudaMemsetAsync(nan_found.get(), 0, sizeof(uint32_t), Stream()), "repack");
  const RepackSource source = {linear.format, data.get(),
                               static_cast<const uint8_t*>(scales.get())};
  Check(LaunchRepack(source, layout, static_cast<uint8_t*>(owner->packed.get()),
                     static_cast<uint32_t*>(nan_found.get()), Stream()),
        "repack");
  uint32_t nan = 0;
  Download(nan_found.get(), sizeof(nan), &nan);
  if (nan != 0) {
    Throw(ErrorCode::kDataLoss,
          "{}: a {} is NaN (E4M3 code 0x7F); the checkpoint is damaged or was exported with "
          "overflowing scales, quantize it again",
          linear.name, nvfp4 ? "block scale" : "weight");
  }
  LinearWeight weight;
  weight.format = linear.format;
  weight.numerics = nvfp4 ? numerics : LinearNumerics::kWeightOnly;
  weight.out_features = linear.out_features;
  weight.in_features = linear.in_features;
  weight.data = owner->packed.get();
  weight.weight_scale = linear.format == LinearFormat::kBF16 ? 1.0f : linear.weight_scale;
  weight.input_scale = linear.input_scale;
  if (linear.format == LinearFormat::kF8 && linear.row_scales != nullptr) {
    owner->row_scales = Import(linear.row_scales, linear.out_features * 4, linear.owner);
    weight.row_scales = static_cast<const float*>(owner->row_scales.get());
  }
  weight.owner = owner;
  return weight;
}

Tensor CudaBackend::PrepareInput(const Tensor& x, const LinearWeight& weight) {
  const bool quantize = weight.numerics == LinearNumerics::kW4A4;
  const bool aligned = x.dtype == DType::kF32 || (reinterpret_cast<uintptr_t>(x.data) % 16 == 0 &&
                                                  x.row_stride % kAlignment == 0);
  if (!quantize && aligned) return x;
  Tensor prepared = x;
  prepared.row_stride = (x.cols + kAlignment - 1) / kAlignment * kAlignment;
  prepared.data = inputs_.Get(x.rows * prepared.row_stride * SizeOf(x.dtype), false, Stream());
  if (quantize) {
    Check(LaunchQuantizeActivations(x, weight.input_scale, prepared, Stream()), "Linear");
  } else {
    Check(LaunchCopy(x, prepared, Stream()), "Linear");
  }
  return prepared;
}

void CudaBackend::LinearGroup(const Tensor& x, std::span<const LinearOutput> outputs) {
  const LinearWeight& first = *outputs[0].weight;
  const Tensor input = PrepareInput(x, first);
  const FormatTrust trust = trust_.Of(first.format);
  if (x.dtype == DType::kF32 || !trust.few_rows) {
    for (const LinearOutput& output : outputs) {
      LinearF32Problem problem;
      problem.format = first.format;
      problem.layout = LayoutOf(first.format, output.weight->out_features, first.in_features);
      problem.segment = SegmentOf(output);
      problem.x = input;
      Check(LaunchLinearF32(problem, Stream()), "Linear");
    }
    return;
  }
  FewRowsProblem problem;
  int64_t tiles = 0;
  for (const LinearOutput& output : outputs) {
    problem.segments[problem.num_segments++] = SegmentOf(output);
    tiles += (output.weight->out_features + kTileRows - 1) / kTileRows;
  }
  problem.x = input.data;
  problem.x_stride = input.row_stride;
  problem.rows = static_cast<int>(input.rows);
  problem.in_features = static_cast<int>(first.in_features);
  if (trust.many_rows && PrefersManyRows(problem, limits_)) {
    Check(LaunchManyRows(first.format, problem, limits_, Stream()), "Linear");
    return;
  }
  problem.group_sums = static_cast<float*>(
      group_sums_.Get(GroupSumsBytes(first.format, problem, limits_, tuning_), false, Stream()));
  problem.arrivals = static_cast<uint32_t*>(
      arrivals_.Get(tiles * static_cast<int64_t>(sizeof(uint32_t)), true, Stream()));
  Check(LaunchFewRows(first.format, problem, limits_, tuning_, Stream()), "Linear");
}

void CudaBackend::Linear(const Tensor& x, std::span<const LinearOutput> outputs) {
  if (x.rows == 0) return;
  while (!outputs.empty()) {
    size_t count = 1;
    while (count < outputs.size() && count < kMaxSegments &&
           ShareInput(*outputs[0].weight, *outputs[count].weight)) {
      ++count;
    }
    LinearGroup(x, outputs.first(count));
    outputs = outputs.subspan(count);
  }
}

}  // namespace talon::cuda

#include "talon/backend/cuda/row_ops.h"

#include "talon/backend/cuda/element.cuh"
#include "talon/backend/cuda/launch.cuh"

namespace talon::cuda {
namespace {

constexpr int kThreads = 256;

// One thread per element: blocks along x cover the columns, y the rows.
dim3 ElementGrid(const Tensor& t) {
  return dim3(static_cast<unsigned>((t.cols + kThreads - 1) / kThreads),
              static_cast<unsigned>(t.rows));
}
__device__ bool FindElement(const Tensor& t, int64_t& row, int64_t& col) {
  row = blockIdx.y;
  col = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  return col < t.cols;
}

__global__ void EmbedKernel(Tensor table, const int32_t* ids, float scale, Tensor out) {
  BeginKernel();
  int64_t row, col;
  if (!FindElement(out, row, col)) return;
  Store(out, row, col, __fmul_rn(Load(table, ids[row], col), scale));
}

__global__ void AddKernel(Tensor a, Tensor b, Tensor out) {
  BeginKernel();
  int64_t row, col;
  if (!FindElement(out, row, col)) return;
  Store(out, row, col, __fadd_rn(Load(a, row, col), Load(b, row, col)));
}

__global__ void CopyKernel(Tensor from, Tensor to) {
  BeginKernel();
  int64_t row, col;
  if (!FindElement(to, row, col)) return;
  Store(to, row, col, Load(from, row, col));
}

// Elements as bytes of `element_bytes`; moved, not converted.
__global__ void GatherKernel(const uint8_t* x, int64_t x_row_bytes, const int32_t* indices,
                             uint8_t* out, int64_t out_row_bytes, int64_t copy_bytes) {
  BeginKernel();
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at < copy_bytes) {
    out[blockIdx.y * out_row_bytes + at] = x[indices[blockIdx.y] * x_row_bytes + at];
  }
}

__global__ void RopeTableKernel(const int32_t* positions, const float* inv_freq, DType round_to,
                                Tensor table) {
  BeginKernel();
  const int64_t half = table.cols / 2;
  const int64_t row = blockIdx.y;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= half) return;
  const float angle = __fmul_rn(static_cast<float>(positions[row]), inv_freq[i]);
  Store(table, row, i, Round(cosf(angle), round_to));
  Store(table, row, half + i, Round(sinf(angle), round_to));
}

__device__ float Activate(Activation activation, float z) {
  if (activation == Activation::kSilu) return __fdiv_rn(z, 1.0f + expf(-z));
  constexpr float kSqrt2OverPi = 0.79788456080286535588f;
  const float cubic = 0.044715f * z * z * z;
  return 0.5f * z * (1.0f + tanhf(kSqrt2OverPi * (z + cubic)));
}

__global__ void GatedActivationKernel(Activation activation, Tensor gate, Tensor up, Tensor out) {
  BeginKernel();
  int64_t row, col;
  if (!FindElement(out, row, col)) return;
  const float activated = Round(Activate(activation, Load(gate, row, col)), out.dtype);
  Store(out, row, col, __fmul_rn(activated, Load(up, row, col)));
}

__global__ void SoftcapKernel(float cap, Tensor logits) {
  BeginKernel();
  int64_t row, col;
  if (!FindElement(logits, row, col)) return;
  Store(logits, row, col, cap * tanhf(__fdiv_rn(Load(logits, row, col), cap)));
}

// Nearest E2M1 magnitude (ties to the even code), beyond 5 to 6; the sign is kept.
__device__ float RoundToE2m1(float value) {
  constexpr float kMagnitudes[8] = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f};
  const float a = fabsf(value);
  const int index = (a > 0.25f) + (a >= 0.75f) + (a > 1.25f) + (a >= 1.75f) + (a > 2.5f) +
                    (a >= 3.5f) + (a > 5.0f);
  return value < 0.0f ? -kMagnitudes[index] : kMagnitudes[index];
}

// One thread per block of 16.
__global__ void QuantizeActivationsKernel(Tensor x, float input_scale, Tensor out) {
  BeginKernel();
  const int64_t row = blockIdx.y;
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * 16;
  if (first >= x.cols) return;
  const float inverse = __fdiv_rn(1.0f, input_scale);
  float values[16];
  float largest = 0.0f;
  for (int i = 0; i < 16; ++i) {
    values[i] = Load(x, row, first + i);
    largest = fmaxf(largest, fabsf(values[i]));
  }
  const float scale = Fp8Value(Fp8Code(__fdiv_rn(__fmul_rn(inverse, largest), 6.0f)));
  for (int i = 0; i < 16; ++i) {
    const float q =
        scale == 0.0f ? 0.0f : RoundToE2m1(__fdiv_rn(__fmul_rn(values[i], inverse), scale));
    Store(out, row, first + i, __fmul_rn(q, scale));
  }
}

}  // namespace

cudaError_t LaunchEmbed(const Tensor& table, const int32_t* ids, float scale, const Tensor& out,
                        cudaStream_t stream) {
  return LaunchDependent(EmbedKernel, ElementGrid(out), kThreads, 0, stream, table, ids, scale,
                         out);
}

cudaError_t LaunchAdd(const Tensor& a, const Tensor& b, const Tensor& out, cudaStream_t stream) {
  return LaunchDependent(AddKernel, ElementGrid(out), kThreads, 0, stream, a, b, out);
}

cudaError_t LaunchCopy(const Tensor& from, const Tensor& to, cudaStream_t stream) {
  return LaunchDependent(CopyKernel, ElementGrid(to), kThreads, 0, stream, from, to);
}

cudaError_t LaunchGatherRows(const Tensor& x, const int32_t* indices, const Tensor& out,
                             cudaStream_t stream) {
  const int64_t element_bytes = SizeOf(x.dtype);
  const int64_t copy_bytes = x.cols * element_bytes;
  const dim3 grid(static_cast<unsigned>((copy_bytes + kThreads - 1) / kThreads),
                  static_cast<unsigned>(out.rows));
  return LaunchDependent(GatherKernel, grid, kThreads, 0, stream,
                         static_cast<const uint8_t*>(x.data), x.row_stride * element_bytes, indices,
                         static_cast<uint8_t*>(out.data), out.row_stride * element_bytes,
                         copy_bytes);
}

cudaError_t LaunchRopeTable(const int32_t* positions, const float* inv_freq, DType round_to,
                            const Tensor& table, cudaStream_t stream) {
  return LaunchDependent(RopeTableKernel, ElementGrid(table), kThreads, 0, stream, positions,
                         inv_freq, round_to, table);
}

cudaError_t LaunchGatedActivation(Activation activation, const Tensor& gate, const Tensor& up,
                                  const Tensor& out, cudaStream_t stream) {
  return LaunchDependent(GatedActivationKernel, ElementGrid(out), kThreads, 0, stream, activation,
                         gate, up, out);
}

cudaError_t LaunchSoftcap(float cap, const Tensor& logits, cudaStream_t stream) {
  return LaunchDependent(SoftcapKernel, ElementGrid(logits), kThreads, 0, stream, cap, logits);
}

cudaError_t LaunchQuantizeActivations(const Tensor& x, float input_scale, const Tensor& out,
                                      cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>((x.cols / 16 + kThreads - 1) / kThreads),
                  static_cast<unsigned>(x.rows));
  return LaunchDependent(QuantizeActivationsKernel, grid, kThreads, 0, stream, x, input_scale, out);
}

}  // namespace talon::cuda

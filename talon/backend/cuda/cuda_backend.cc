#include "talon/backend/cuda/cuda_backend.h"

#include <fmt/format.h>

#include "talon/backend/cuda/attention.h"
#include "talon/backend/cuda/cuda_check.h"
#include "talon/backend/cuda/logit_values.h"
#include "talon/backend/cuda/row_ops.h"
#include "talon/backend/cuda/sampling.h"
#include "talon/backend/cuda/self_test.h"
#include "talon/backend/cuda_backend.h"

namespace talon {

bool CudaAvailable() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
}

std::unique_ptr<Backend> MakeCudaBackend(const BackendOptions&) {
  if (!CudaAvailable()) {
    Throw(ErrorCode::kUnsupported,
          "no CUDA device is usable (is the driver loaded and a GPU visible?); use --device cpu");
  }
  return std::make_unique<cuda::CudaBackend>(0);
}

namespace cuda {
namespace {

bool IsSame(const Tensor& a, const Tensor& b) {
  return a.data == b.data && a.dtype == b.dtype && a.rows == b.rows && a.cols == b.cols &&
         a.row_stride == b.row_stride;
}

}  // namespace

void* Scratch::Get(int64_t size_bytes, bool clear, cudaStream_t stream) {
  if (size_bytes > size_bytes_) {
    void* data = nullptr;
    Check(cudaMalloc(&data, static_cast<size_t>(size_bytes)), "scratch memory");
    blocks_.emplace_back(data, [](void* p) { cudaFree(p); });
    size_bytes_ = size_bytes;
    if (clear) {
      Check(cudaMemsetAsync(data, 0, static_cast<size_t>(size_bytes), stream), "scratch memory");
    }
  }
  return blocks_.empty() ? nullptr : blocks_.back().get();
}

CudaBackend::CudaBackend(int device) : device_(device) {
  Check(cudaSetDevice(device), "cudaSetDevice");
  Check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "stream");
  Check(cudaDeviceGetAttribute(&limits_.multiprocessors, cudaDevAttrMultiProcessorCount, device),
        "device attribute");
  Check(cudaDeviceGetAttribute(&limits_.shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin,
                               device),
        "device attribute");
  int major = 0;
  Check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device),
        "device attribute");
  limits_.has_warpgroup_products = major == 9;
}

cudaStream_t CudaBackend::Stream() {
  if (pending_norm_add_) {
    const NormAddParams params = *pending_norm_add_;
    pending_norm_add_.reset();
    Check(LaunchNormAdd(params, stream_), "NormAdd");
  }
  return stream_;
}

CudaBackend::~CudaBackend() {
  cudaStreamSynchronize(stream_);
  cudaStreamDestroy(stream_);
}

std::string CudaBackend::Description() const {
  cudaDeviceProp properties;
  Check(cudaGetDeviceProperties(&properties, device_), "device properties");
  return fmt::format("cuda ({}, sm_{}{}, {} multiprocessors)", properties.name, properties.major,
                     properties.minor, properties.multiProcessorCount);
}

std::vector<std::string> CudaBackend::SelfTest() { return RunSelfTest(*this); }

DeviceMemory CudaBackend::Memory() const {
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  Check(cudaMemGetInfo(&free_bytes, &total_bytes), "device memory");
  return {static_cast<int64_t>(total_bytes), static_cast<int64_t>(free_bytes), false};
}

Buffer CudaBackend::Allocate(int64_t size_bytes) {
  void* data = nullptr;
  Check(cudaMalloc(&data, static_cast<size_t>(size_bytes > 0 ? size_bytes : 1)), "cudaMalloc");
  return Buffer(data, [](void* p) { cudaFree(p); });
}

void CudaBackend::Upload(const void* host, int64_t size_bytes, void* device) {
  Check(cudaMemcpyAsync(device, host, static_cast<size_t>(size_bytes), cudaMemcpyHostToDevice,
                        Stream()),
        "upload");
  Check(cudaStreamSynchronize(Stream()), "upload");
}

void CudaBackend::Download(const void* device, int64_t size_bytes, void* host) {
  Check(cudaMemcpyAsync(host, device, static_cast<size_t>(size_bytes), cudaMemcpyDeviceToHost,
                        Stream()),
        "download");
  Check(cudaStreamSynchronize(Stream()), "an op before this download");
}

KvLayer CudaBackend::MakeKvLayer(int64_t num_pages, int64_t num_kv_heads, int64_t head_dim,
                                 DType dtype) {
  KvLayer layer;
  layer.num_pages = num_pages;
  layer.num_kv_heads = num_kv_heads;
  layer.head_dim = head_dim;
  layer.dtype = dtype;
  const int64_t bytes = num_pages * num_kv_heads * head_dim * kKvPageTokens * SizeOf(dtype);
  layer.keys = Allocate(bytes);
  layer.values = Allocate(bytes);
  return layer;
}

void CudaBackend::CopyPage(KvLayer& layer, int64_t from_page, int64_t to_page) {
  const int64_t bytes = layer.num_kv_heads * layer.head_dim * kKvPageTokens * SizeOf(layer.dtype);
  for (const Buffer& buffer : {layer.keys, layer.values}) {
    auto* data = static_cast<std::byte*>(buffer.get());
    Check(cudaMemcpyAsync(data + to_page * bytes, data + from_page * bytes,
                          static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice, Stream()),
          "page copy");
  }
}

void CudaBackend::Embed(const Tensor& table, const int32_t* ids, float scale, const Tensor& out) {
  if (out.rows > 0) Check(LaunchEmbed(table, ids, scale, out, Stream()), "Embed");
}

void CudaBackend::RmsNorm(const Tensor& x, const float* gain, float eps, const Tensor& out) {
  if (x.rows == 0) return;
  if (pending_norm_add_ && IsSame(pending_norm_add_->residual, x)) {
    const NormAddParams params = *pending_norm_add_;
    pending_norm_add_.reset();
    Check(LaunchNormAddNorm(params, {gain, eps, out}, stream_), "NormAdd and RmsNorm");
    return;
  }
  Check(LaunchRmsNorm(x, gain, eps, out, Stream()), "RmsNorm");
}

void CudaBackend::NormAdd(const NormAddParams& params) {
  if (params.branch.rows == 0) return;
  Stream();
  pending_norm_add_ = params;
}

void CudaBackend::Add(const Tensor& a, const Tensor& b, const Tensor& out) {
  if (out.rows > 0) Check(LaunchAdd(a, b, out, Stream()), "Add");
}

void CudaBackend::Copy(const Tensor& from, const Tensor& to) {
  if (to.rows > 0) Check(LaunchCopy(from, to, Stream()), "Copy");
}

void CudaBackend::GatherRows(const Tensor& x, const int32_t* indices, const Tensor& out) {
  if (out.rows > 0) Check(LaunchGatherRows(x, indices, out, Stream()), "GatherRows");
}

void CudaBackend::RopeTable(const int32_t* positions, const float* inv_freq, DType round_to,
                            const Tensor& table) {
  if (table.rows == 0) return;
  Check(LaunchRopeTable(positions, inv_freq, round_to, table, Stream()), "RopeTable");
}

void CudaBackend::QkvNormRopeWrite(const QkvParams& params) {
  if (params.q.rows > 0) Check(LaunchQkvNormRopeWrite(params, Stream()), "QkvNormRopeWrite");
}

void CudaBackend::Attention(const AttentionParams& params) {
  if (params.q.rows == 0) return;
  // A block per split keeps the card busy where rows are few; both ways give the same bits.
  constexpr int64_t kSplitRows = 64;
  constexpr int64_t kMaxSplitBytes = int64_t{256} << 20;
  const int64_t bytes = SplitBytes(params);
  const bool split = params.q.rows <= kSplitRows && bytes <= kMaxSplitBytes;
  AttentionScratch scratch;
  scratch.tensor_cores = trust_.tensor_attention;
  if (split) {
    scratch.splits = static_cast<float*>(splits_.Get(bytes, false, Stream()));
    scratch.arrivals =
        static_cast<uint32_t*>(split_arrivals_.Get(ArrivalBytes(params), true, Stream()));
  }
  Check(LaunchAttention(params, scratch, Stream()), "Attention");
}

void CudaBackend::GatedActivation(Activation activation, const Tensor& gate, const Tensor& up,
                                  const Tensor& out) {
  if (out.rows == 0) return;
  Check(LaunchGatedActivation(activation, gate, up, out, Stream()), "GatedActivation");
}

void CudaBackend::Softcap(float cap, const Tensor& logits) {
  if (logits.rows > 0) Check(LaunchSoftcap(cap, logits, Stream()), "Softcap");
}

void CudaBackend::Argmax(const Tensor& logits, int32_t* tokens) {
  if (logits.rows == 0) return;
  void* scratch = best_tokens_.Get(ArgmaxScratchBytes(logits), false, Stream());
  Check(LaunchArgmax(logits, scratch, tokens, stream_), "Argmax");
}

void CudaBackend::Sample(const Tensor& logits, const SamplingRow* rows, int32_t* tokens) {
  if (logits.rows > 0) Check(LaunchSample(logits, rows, tokens, Stream()), "Sample");
}

void CudaBackend::AdjustLogits(const Tensor& logits, const LogitAdjustment* adjustments,
                               int64_t count) {
  if (count > 0) Check(LaunchAdjustLogits(logits, adjustments, count, Stream()), "AdjustLogits");
}

void CudaBackend::Logprobs(const Tensor& logits, const int32_t* tokens, const LogprobOutput& out) {
  if (logits.rows > 0) Check(LaunchLogprobs(logits, tokens, out, Stream()), "Logprobs");
}

void CudaBackend::MapDraftIds(const int32_t* offsets, int64_t count, int32_t* ids) {
  Check(LaunchMapDraftIds(offsets, count, ids, Stream()), "MapDraftIds");
}

void CudaBackend::VerifyDrafts(const int32_t* inputs, const int32_t* tokens, const RowBatch& rows,
                               int32_t* accepted) {
  if (rows.num_sequences == 0) return;
  Check(LaunchVerifyDrafts(inputs, tokens, rows, accepted, Stream()), "VerifyDrafts");
}

}  // namespace cuda
}  // namespace talon

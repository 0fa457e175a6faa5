// The CUDA backend: ops on one GPU, in call order on one stream.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "talon/backend/backend.h"
#include "talon/backend/cuda/few_rows.h"
#include "talon/backend/cuda/kernel_trust.h"

namespace talon::cuda {

// Device memory that ops share and that grows when a larger op comes. Older memory stays, since a
// captured graph may still point to it.
class Scratch {
 public:
  void* Get(int64_t size_bytes, bool clear, cudaStream_t stream);

 private:
  std::vector<Buffer> blocks_;
  int64_t size_bytes_ = 0;
};

class CudaBackend : public Backend {
 public:
  explicit CudaBackend(int device);
  ~CudaBackend() override;

  // The stream, after anything still pending was launched.
  cudaStream_t Stream();
  KernelTrust& trust() { return trust_; }
  bool has_warpgroup_products() const { return limits_.has_warpgroup_products; }

  std::string Description() const override;
  std::vector<std::string> SelfTest() override;
  DeviceMemory Memory() const override;
  Buffer Allocate(int64_t size_bytes) override;
  void Upload(const void* host, int64_t size_bytes, void* device) override;
  void Download(const void* device, int64_t size_bytes, void* host) override;
  LinearWeight MakeLinear(const HostLinear& linear, LinearNumerics numerics) override;
  KvLayer MakeKvLayer(int64_t num_pages, int64_t num_kv_heads, int64_t head_dim,
                      DType dtype) override;
  void CopyPage(KvLayer& layer, int64_t from_page, int64_t to_page) override;

  void Synchronize() override;
  std::unique_ptr<RecordedOps> Record(std::function<void()> ops) override;
  LinearWeight MakeRandomLinear(LinearFormat format, int64_t out_features, int64_t in_features,
                                uint64_t seed) override;
  void FillRandom(const Tensor& to, float deviation, uint64_t seed) override;
  double MeasureReadBandwidth() override;

  void Embed(const Tensor& table, const int32_t* ids, float scale, const Tensor& out) override;
  void RmsNorm(const Tensor& x, const float* gain, float eps, const Tensor& out) override;
  void NormAdd(const NormAddParams& params) override;
  void Add(const Tensor& a, const Tensor& b, const Tensor& out) override;
  void Copy(const Tensor& from, const Tensor& to) override;
  void GatherRows(const Tensor& x, const int32_t* indices, const Tensor& out) override;
  void Linear(const Tensor& x, std::span<const LinearOutput> outputs) override;
  void RopeTable(const int32_t* positions, const float* inv_freq, DType round_to,
                 const Tensor& table) override;
  void QkvNormRopeWrite(const QkvParams& params) override;
  void Attention(const AttentionParams& params) override;
  void GatedActivation(Activation activation, const Tensor& gate, const Tensor& up,
                       const Tensor& out) override;
  void Softcap(float cap, const Tensor& logits) override;
  void Argmax(const Tensor& logits, int32_t* tokens) override;
  void Sample(const Tensor& logits, const SamplingRow* rows, int32_t* tokens) override;
  void AdjustLogits(const Tensor& logits, const LogitAdjustment* adjustments,
                    int64_t count) override;
  void Logprobs(const Tensor& logits, const int32_t* tokens, const LogprobOutput& out) override;
  void MapDraftIds(const int32_t* offsets, int64_t count, int32_t* ids) override;
  void VerifyDrafts(const int32_t* inputs, const int32_t* tokens, const RowBatch& rows,
                    int32_t* accepted) override;

 private:
  // Linears of one format and one treatment of their input, in one launch.
  void LinearGroup(const Tensor& x, std::span<const LinearOutput> outputs);
  // x as the products use it: quantized for W4A4, on 16-byte rows for the tensor cores.
  Tensor PrepareInput(const Tensor& x, const LinearWeight& weight);

  int device_;
  cudaStream_t stream_ = nullptr;
  DeviceLimits limits_;
  FewRowsTuning tuning_;
  KernelTrust trust_;
  Scratch inputs_;
  Scratch group_sums_;
  Scratch arrivals_;
  Scratch splits_;
  Scratch split_arrivals_;
  Scratch best_tokens_;
  // A NormAdd that waits for the next op: a norm of its result joins it in one launch.
  std::optional<NormAddParams> pending_norm_add_;
};

}  // namespace talon::cuda

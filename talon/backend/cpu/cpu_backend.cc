// The op interface on host memory: every op splits its rows or output features over the threads.
#include "talon/backend/cpu/cpu_backend.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <vector>

#include "talon/backend/cpu/aligned_memory.h"
#include "talon/backend/cpu/attention.h"
#include "talon/backend/cpu/cpu_features.h"
#include "talon/backend/cpu/element.h"
#include "talon/backend/cpu/linear.h"
#include "talon/backend/cpu/logits_ops.h"
#include "talon/backend/cpu/make_linear.h"
#include "talon/backend/cpu/qkv.h"
#include "talon/backend/cpu/reference.h"
#include "talon/backend/cpu/row_ops.h"
#include "talon/backend/cpu/sampling.h"
#include "talon/base/error.h"
#include "talon/base/system_memory.h"
#include "talon/base/thread_pool.h"

namespace talon::cpu {
namespace {

class CpuBackend : public Backend {
 public:
  explicit CpuBackend(int num_threads) : pool_(num_threads), linear_(DetectIsa(), pool_) {}

  std::string Description() const override {
    return fmt::format("cpu ({}, {} threads)", Name(DetectIsa()), pool_.num_threads());
  }

  DeviceMemory Memory() const override {
    const int64_t available_bytes = AvailableMemoryBytes();
    return {available_bytes, available_bytes, /*weights_count_as_free=*/true};
  }

  Buffer Allocate(int64_t size_bytes) override { return AllocateAligned(size_bytes); }

  Buffer Import(const void* host, int64_t, std::shared_ptr<const void> owner) override {
    return Buffer(const_cast<void*>(host), [keep = std::move(owner)](void*) {});
  }

  void Upload(const void* host, int64_t size_bytes, void* device) override {
    std::memcpy(device, host, static_cast<size_t>(size_bytes));
  }

  void Download(const void* device, int64_t size_bytes, void* host) override {
    std::memcpy(host, device, static_cast<size_t>(size_bytes));
  }

  LinearWeight MakeLinear(const HostLinear& linear, LinearNumerics numerics) override {
    return cpu::MakeLinear(linear, numerics);
  }

  KvLayer MakeKvLayer(int64_t num_pages, int64_t num_kv_heads, int64_t head_dim,
                      DType dtype) override {
    CheckInternal(dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF8E4M3,
                  "a KV layer is F32, BF16 or F8_E4M3");
    KvLayer layer;
    layer.num_pages = num_pages;
    layer.num_kv_heads = num_kv_heads;
    layer.head_dim = head_dim;
    layer.dtype = dtype;
    layer.keys = Allocate(num_pages * PageBytes(layer));
    layer.values = Allocate(num_pages * PageBytes(layer));
    return layer;
  }

  void CopyPage(KvLayer& layer, int64_t from_page, int64_t to_page) override {
    const int64_t bytes = PageBytes(layer);
    for (const Buffer& buffer : {layer.keys, layer.values}) {
      auto* base = static_cast<std::byte*>(buffer.get());
      std::memcpy(base + to_page * bytes, base + from_page * bytes, static_cast<size_t>(bytes));
    }
  }

  void Embed(const Tensor& table, const int32_t* ids, float scale, const Tensor& out) override {
    ForRows(out.rows, [&](RowRange rows) { RunEmbed(table, ids, scale, out, rows); });
  }

  void RmsNorm(const Tensor& x, const float* gain, float eps, const Tensor& out) override {
    ForRows(out.rows, [&](RowRange rows) { RunRmsNorm(x, gain, eps, out, rows); });
  }

  void NormAdd(const NormAddParams& params) override {
    ForRows(params.residual.rows, [&](RowRange rows) { RunNormAdd(params, rows); });
  }

  void Add(const Tensor& a, const Tensor& b, const Tensor& out) override {
    ForRows(out.rows, [&](RowRange rows) { RunAdd(a, b, out, rows); });
  }

  void Copy(const Tensor& from, const Tensor& to) override {
    ForRows(to.rows, [&](RowRange rows) { RunCopy(from, to, rows); });
  }

  void GatherRows(const Tensor& x, const int32_t* indices, const Tensor& out) override {
    ForRows(out.rows, [&](RowRange rows) { reference::GatherRows(x, indices, out, rows); });
  }

  void Linear(const Tensor& x, std::span<const LinearOutput> outputs) override {
    linear_.Run(x, outputs);
  }

  void RopeTable(const int32_t* positions, const float* inv_freq, DType round_to,
                 const Tensor& table) override {
    ForRows(table.rows, [&](RowRange rows) {
      reference::RopeTable(positions, inv_freq, round_to, table, rows);
    });
  }

  void QkvNormRopeWrite(const QkvParams& params) override {
    ForRows(params.rows.num_rows, [&](RowRange rows) { RunQkvNormRopeWrite(params, rows); });
  }

  void Attention(const AttentionParams& params) override {
    const std::vector<AttentionTask> tasks = AttentionTasks(params);
    pool_.Run(static_cast<int64_t>(tasks.size()),
              [&](int64_t task) { RunAttention(params, tasks[static_cast<size_t>(task)]); });
  }

  void GatedActivation(Activation activation, const Tensor& gate, const Tensor& up,
                       const Tensor& out) override {
    ForRows(out.rows, [&](RowRange rows) { RunGatedActivation(activation, gate, up, out, rows); });
  }

  void Softcap(float cap, const Tensor& logits) override { RunSoftcap(cap, logits, pool_); }

  void Argmax(const Tensor& logits, int32_t* tokens) override {
    pool_.Run(logits.rows,
              [&](int64_t r) { tokens[r] = ArgmaxRow(RowF32(logits, r), logits.cols); });
  }

  void Sample(const Tensor& logits, const SamplingRow* rows, int32_t* tokens) override {
    pool_.Run(logits.rows,
              [&](int64_t r) { tokens[r] = SampleToken(RowF32(logits, r), logits.cols, rows[r]); });
  }

  void AdjustLogits(const Tensor& logits, const LogitAdjustment* adjustments,
                    int64_t count) override {
    for (int64_t i = 0; i < count; ++i) {
      float& logit = RowF32(logits, adjustments[i].row)[adjustments[i].token];
      logit = AdjustedLogit(logit, adjustments[i]);
    }
  }

  void Logprobs(const Tensor& logits, const int32_t* tokens, const LogprobOutput& out) override {
    pool_.Run(logits.rows,
              [&](int64_t r) { LogprobsRow(RowF32(logits, r), logits.cols, tokens[r], r, out); });
  }

  void MapDraftIds(const int32_t* offsets, int64_t count, int32_t* ids) override {
    if (offsets == nullptr) return;
    for (int64_t i = 0; i < count; ++i) ids[i] += offsets[ids[i]];
  }

  void VerifyDrafts(const int32_t* inputs, const int32_t* tokens, const RowBatch& rows,
                    int32_t* accepted) override {
    for (int64_t s = 0; s < rows.num_sequences; ++s) {
      accepted[s] = CountAccepted(inputs, tokens, rows.row_begin[s], rows.row_begin[s + 1]);
    }
  }

 private:
  static int64_t PageBytes(const KvLayer& layer) {
    return layer.num_kv_heads * layer.head_dim * kKvPageTokens * SizeOf(layer.dtype);
  }

  // Runs `fn` over all rows, split evenly over the threads.
  void ForRows(int64_t num_rows, const std::function<void(RowRange)>& fn) {
    const int64_t chunks = std::min<int64_t>(num_rows, pool_.num_threads());
    pool_.Run(chunks, [&](int64_t i) { fn({num_rows * i / chunks, num_rows * (i + 1) / chunks}); });
  }

  ThreadPool pool_;
  LinearOp linear_;
};

}  // namespace

std::unique_ptr<Backend> MakeCpuBackend(int num_threads) {
  return std::make_unique<CpuBackend>(num_threads);
}

}  // namespace talon::cpu

// Passes every call on to another backend: what measures ops, or makes mistakes on purpose, changes
// only what it is about.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "talon/backend/backend.h"

namespace talon {

class ForwardingBackend : public Backend {
 public:
  explicit ForwardingBackend(std::unique_ptr<Backend> inner) : inner_(std::move(inner)) {}

  std::string Description() const override { return inner_->Description(); }
  std::vector<std::string> SelfTest() override { return inner_->SelfTest(); }
  DeviceMemory Memory() const override { return inner_->Memory(); }
  Buffer Allocate(int64_t size_bytes) override { return inner_->Allocate(size_bytes); }
  Buffer Import(const void* host, int64_t size_bytes, std::shared_ptr<const void> owner) override {
    return inner_->Import(host, size_bytes, std::move(owner));
  }
  void Upload(const void* host, int64_t size_bytes, void* device) override {
    inner_->Upload(host, size_bytes, device);
  }
  void Download(const void* device, int64_t size_bytes, void* host) override {
    inner_->Download(device, size_bytes, host);
  }
  LinearWeight MakeLinear(const HostLinear& linear, LinearNumerics numerics) override {
    return inner_->MakeLinear(linear, numerics);
  }
  KvLayer MakeKvLayer(int64_t num_pages, int64_t num_kv_heads, int64_t head_dim,
                      DType dtype) override {
    return inner_->MakeKvLayer(num_pages, num_kv_heads, head_dim, dtype);
  }
  void CopyPage(KvLayer& layer, int64_t from_page, int64_t to_page) override {
    inner_->CopyPage(layer, from_page, to_page);
  }

  void Embed(const Tensor& table, const int32_t* ids, float scale, const Tensor& out) override {
    Around([&] { inner_->Embed(table, ids, scale, out); });
  }
  void RmsNorm(const Tensor& x, const float* gain, float eps, const Tensor& out) override {
    Around([&] { inner_->RmsNorm(x, gain, eps, out); });
  }
  void NormAdd(const NormAddParams& params) override {
    Around([&] { inner_->NormAdd(params); });
  }
  void Add(const Tensor& a, const Tensor& b, const Tensor& out) override {
    Around([&] { inner_->Add(a, b, out); });
  }
  void Copy(const Tensor& from, const Tensor& to) override {
    Around([&] { inner_->Copy(from, to); });
  }
  void GatherRows(const Tensor& x, const int32_t* indices, const Tensor& out) override {
    Around([&] { inner_->GatherRows(x, indices, out); });
  }
  void Linear(const Tensor& x, std::span<const LinearOutput> outputs) override {
    Around([&] { inner_->Linear(x, outputs); });
  }
  void RopeTable(const int32_t* positions, const float* inv_freq, DType round_to,
                 const Tensor& table) override {
    Around([&] { inner_->RopeTable(positions, inv_freq, round_to, table); });
  }
  void QkvNormRopeWrite(const QkvParams& params) override {
    Around([&] { inner_->QkvNormRopeWrite(params); });
  }
  void Attention(const AttentionParams& params) override {
    Around([&] { inner_->Attention(params); });
  }
  void GatedActivation(Activation activation, const Tensor& gate, const Tensor& up,
                       const Tensor& out) override {
    Around([&] { inner_->GatedActivation(activation, gate, up, out); });
  }
  void Softcap(float cap, const Tensor& logits) override {
    Around([&] { inner_->Softcap(cap, logits); });
  }
  void Argmax(const Tensor& logits, int32_t* tokens) override {
    Around([&] { inner_->Argmax(logits, tokens); });
  }
  void Sample(const Tensor& logits, const SamplingRow* rows, int32_t* tokens) override {
    Around([&] { inner_->Sample(logits, rows, tokens); });
  }
  void AdjustLogits(const Tensor& logits, const LogitAdjustment* adjustments,
                    int64_t count) override {
    Around([&] { inner_->AdjustLogits(logits, adjustments, count); });
  }
  void Logprobs(const Tensor& logits, const int32_t* tokens, const LogprobOutput& out) override {
    Around([&] { inner_->Logprobs(logits, tokens, out); });
  }
  void MapDraftIds(const int32_t* offsets, int64_t count, int32_t* ids) override {
    Around([&] { inner_->MapDraftIds(offsets, count, ids); });
  }
  void VerifyDrafts(const int32_t* inputs, const int32_t* tokens, const RowBatch& rows,
                    int32_t* accepted) override {
    Around([&] { inner_->VerifyDrafts(inputs, tokens, rows, accepted); });
  }

 protected:
  Backend& inner() { return *inner_; }
  // Runs one row op or sampling op.
  virtual void Around(const std::function<void()>& op) { op(); }

 private:
  std::unique_ptr<Backend> inner_;
};

}  // namespace talon

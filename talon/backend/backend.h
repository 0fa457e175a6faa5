// The op interface. Models, the engine and the quantizer are written once against it; the CPU
// backend (talon/backend/cpu) and the CUDA backend (talon/backend/cuda) implement it.
//
// Contract (docs/numerics.md): an op computes every row from that row's inputs alone, in an order
// that depends on shapes and device only - never on the number of rows, the batch, the chunking or
// the number of threads. `rb` below rounds to the output's dtype (BF16: nearest even; F32:
// nothing). Ops are asynchronous on a GPU and complete in call order; Download synchronizes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "talon/backend/tensor.h"

namespace talon {

struct LinearOutput {
  const LinearWeight* weight = nullptr;
  Tensor out;  // [rows, weight->out_features], F32 or BF16
};

// h' = rb(rb(residual + rb(RmsNorm(branch))) * scalar); the residual add of a Gemma block.
struct NormAddParams {
  Tensor branch;                // [rows, hidden]
  const float* gain = nullptr;  // [hidden]
  float eps = 1e-6f;
  Tensor residual;            // [rows, hidden], updated in place
  float layer_scalar = 1.0f;  // skipped (no rounding) when exactly 1
};

// Per-head norms, RoPE and the KV write after the q/k/v projections.
//   q[h] = rope(norm(q[h]; q_gain)), k[h] = rope(norm(k[h]; k_gain)),
//   v[h] = v_norm ? norm(v[h]) : v[h]
// A null gain skips that norm. RoPE pairs lane i with i + head_dim / 2 and rounds as Hugging Face
// does: rb(rb(x * c) + rb(rot(x) * s)). K and V go to the page slot of the row's position.
struct QkvParams {
  Tensor q;  // [rows, num_heads * head_dim], in place
  Tensor k;  // [rows, num_kv_heads * head_dim], scratch afterwards
  Tensor v;  // same shape; data == nullptr: V is the raw K projection
  int64_t num_heads = 0;
  const float* q_gain = nullptr;  // [head_dim]
  const float* k_gain = nullptr;  // [head_dim]
  bool v_norm = false;            // RMS norm without gain
  float eps = 1e-6f;
  Tensor rope;  // [rows, head_dim] from RopeTable: cos in [0, head_dim/2), sin in the rest
  RowBatch rows;
  BlockTable table;
  KvLayer* cache = nullptr;
};

// softmax(scale * q k^T) v over the sequence's pages; key j visible to the query at position i iff
// j <= i and (window == 0 or j > i - window). Query head h reads KV head h / (num_heads /
// num_kv_heads). Scores, softmax and the weighted sum are FP32; tiles lie at absolute positions.
struct AttentionParams {
  Tensor q;    // [rows, num_heads * head_dim]
  Tensor out;  // same shape
  int64_t num_heads = 0;
  float scale = 1.0f;
  int64_t window = 0;
  RowBatch rows;
  BlockTable table;
  const KvLayer* cache = nullptr;
};

enum class Activation : uint8_t { kGeluTanh, kSilu };

// Memory of the backend's device: all of it, and what is free. On the CPU both are what the system
// can give now, and files that are mapped count as free.
struct DeviceMemory {
  int64_t total_bytes = 0;
  int64_t free_bytes = 0;
  bool weights_count_as_free = false;  // they are mapped files
};

// How one logits row becomes a token. Noise is keyed by (seed, position) so that the same row gives
// the same token with and without drafts. temperature == 0: argmax, ties to the lowest id.
struct SamplingRow {
  float temperature = 0.0f;
  int32_t top_k = 0;  // 0: off
  float top_p = 1.0f;
  float min_p = 0.0f;  // filters apply in vLLM's order: temperature, min_p, top_k, top_p
  uint64_t seed = 0;
  int64_t position = 0;  // position of the token being chosen
};

// What a request's history does to one logit x, in this order and in F32: x += bias; x *=
// repetition when x <= 0, else x *= 1 / repetition; x -= frequency; x -= presence.
struct LogitAdjustment {
  int32_t row = 0;
  int32_t token = 0;
  float bias = 0.0f;  // -infinity bans the token
  float repetition = 1.0f;
  float frequency = 0.0f;  // the penalty times the token's count
  float presence = 0.0f;
};

// Log-probabilities of rows, each log_softmax(logits[r]) as F32; backend memory.
struct LogprobOutput {
  int64_t num_top = 0;
  float* chosen = nullptr;        // [rows]
  int32_t* top_tokens = nullptr;  // [rows, num_top], likeliest first, equal ones by id
  float* top_logprobs = nullptr;  // [rows, num_top]
};

// What a random linear's codes and block scales are multiplied with so that they have deviation 1:
// NVFP4 codes of mean square 8.6 under scales of mean square 1.3; half the FP8 codes below 2^-3.
constexpr float RandomCodeScale(LinearFormat format) {
  return format == LinearFormat::kNvfp4 ? 0.3f : 0.008f;
}

// Ops recorded once and run again on the same memory: a graph on a GPU.
class RecordedOps {
 public:
  virtual ~RecordedOps() = default;
  virtual void Run() = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;

  // "cpu (avx512_bf16, 2 threads)" and the like.
  virtual std::string Description() const = 0;
  // Checks the kernels chosen for this device against their plain forms, and falls back to these
  // where a kernel is wrong. A line for the user for each; none where nothing is chosen at run
  // time.
  virtual std::vector<std::string> SelfTest() { return {}; }

  // --- memory ---
  virtual DeviceMemory Memory() const = 0;
  virtual Buffer Allocate(int64_t size_bytes) = 0;  // 64-byte aligned, not cleared
  // Backend memory holding `host`'s bytes; a backend that computes on host memory aliases it (kept
  // alive by `owner`), others upload a copy.
  virtual Buffer Import(const void* host, int64_t size_bytes, std::shared_ptr<const void> owner);
  virtual void Upload(const void* host, int64_t size_bytes, void* device) = 0;
  virtual void Download(const void* device, int64_t size_bytes, void* host) = 0;
  virtual LinearWeight MakeLinear(const HostLinear& linear, LinearNumerics numerics) = 0;
  virtual KvLayer MakeKvLayer(int64_t num_pages, int64_t num_kv_heads, int64_t head_dim,
                              DType dtype) = 0;
  // Copies whole pages inside every given layer (prefix sharing of partly filled pages).
  virtual void CopyPage(KvLayer& layer, int64_t from_page, int64_t to_page) = 0;

  // --- order and time ---
  // Waits until every op called so far is done.
  virtual void Synchronize() {}
  // Records the ops that `ops` calls, which must have run once before (so that scratch memory is
  // there) and must neither allocate, upload nor download. Other backends keep the callable.
  virtual std::unique_ptr<RecordedOps> Record(std::function<void()> ops);

  // --- for measurements ---
  // A weight of random codes and scales, made where the backend keeps weights.
  virtual LinearWeight MakeRandomLinear(LinearFormat format, int64_t out_features,
                                        int64_t in_features, uint64_t seed);
  // Roughly normal values of the given deviation; `to` is BF16 and contiguous.
  virtual void FillRandom(const Tensor& to, float deviation, uint64_t seed);
  // Bytes per second of a plain streaming read of the backend's memory: the limit of decoding.
  virtual double MeasureReadBandwidth();

  // --- row ops ---
  // out[r] = rb(table[ids[r]] * scale); `table` is BF16 [vocab, hidden].
  virtual void Embed(const Tensor& table, const int32_t* ids, float scale, const Tensor& out) = 0;
  // out = rb(x / sqrt(mean(x^2) + eps) * gain); gain null: no gain. `x` and `out` may be column
  // slices.
  virtual void RmsNorm(const Tensor& x, const float* gain, float eps, const Tensor& out) = 0;
  virtual void NormAdd(const NormAddParams& params) = 0;
  // out = rb(a + b)
  virtual void Add(const Tensor& a, const Tensor& b, const Tensor& out) = 0;
  // Copies rows, converting dtype.
  virtual void Copy(const Tensor& from, const Tensor& to) = 0;
  // out[i] = x[indices[i]]; same dtype.
  virtual void GatherRows(const Tensor& x, const int32_t* indices, const Tensor& out) = 0;
  // out_i = rb(x W_i^T) for linears that share their input; K order of docs/numerics.md.
  virtual void Linear(const Tensor& x, std::span<const LinearOutput> outputs) = 0;
  // table[r] = cos | sin of positions[r] * inv_freq, computed in F32 and rounded to `round_to`.
  virtual void RopeTable(const int32_t* positions, const float* inv_freq /* [head_dim / 2] */,
                         DType round_to, const Tensor& table /* F32 [rows, head_dim] */) = 0;
  virtual void QkvNormRopeWrite(const QkvParams& params) = 0;
  virtual void Attention(const AttentionParams& params) = 0;
  // out = rb(rb(act(gate)) * up)
  virtual void GatedActivation(Activation activation, const Tensor& gate, const Tensor& up,
                               const Tensor& out) = 0;
  // logits = cap * tanh(logits / cap), F32 in place.
  virtual void Softcap(float cap, const Tensor& logits) = 0;

  // --- sampling and verification ---
  // Argmax and Sample give -1 for a row that holds a NaN; the caller makes it an error.
  virtual void Argmax(const Tensor& logits, int32_t* tokens /* [rows] */) = 0;
  virtual void Sample(const Tensor& logits, const SamplingRow* rows /* [rows] */,
                      int32_t* tokens /* [rows] */) = 0;
  // Changes single logits in place; each (row, token) occurs once in `adjustments`.
  virtual void AdjustLogits(const Tensor& logits, const LogitAdjustment* adjustments /* [count] */,
                            int64_t count) = 0;
  // The log-probabilities of tokens[r] and of the num_top <= cols likeliest tokens of each row.
  virtual void Logprobs(const Tensor& logits, const int32_t* tokens /* [rows] */,
                        const LogprobOutput& out) = 0;
  // Draft ids to verifier ids in place: ids[i] += offsets[ids[i]]; null offsets: identity.
  virtual void MapDraftIds(const int32_t* offsets /* [draft_vocab] */, int64_t count,
                           int32_t* ids) = 0;
  // inputs[row_begin[s] .. ] = x_n, d_1 .. d_k and tokens[] = what the verifier chose at each row.
  // accepted[s] = number of leading t with
  // inputs[row_begin[s] + 1 + t] == tokens[row_begin[s] + t].
  virtual void VerifyDrafts(const int32_t* inputs, const int32_t* tokens, const RowBatch& rows,
                            int32_t* accepted /* [num_sequences] */) = 0;
};

struct BackendOptions {
  std::string device = "auto";  // auto, cpu, cuda
  int num_threads = 0;          // CPU; 0: one per core
};

// Throws kUnsupported when the device is not there or not compiled in.
std::unique_ptr<Backend> MakeBackend(const BackendOptions& options);

}  // namespace talon

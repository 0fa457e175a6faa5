#include "talon/model/gemma.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "talon/base/error.h"
#include "talon/model/rope.h"
#include "talon/model/weights.h"
#include "talon/numeric/bf16.h"

namespace talon {

struct GemmaModel::Layer {
  std::string name;  // "layers.3."
  AttentionKind kind = AttentionKind::kSliding;
  LinearWeight q, k, v, o;  // v is unused when k_eq_v
  LinearWeight gate, up, down;
  Buffer input_gain, post_attention_gain, pre_feedforward_gain, post_feedforward_gain;  // [hidden]
  Buffer q_gain, k_gain;  // [head_dim]
  KvScales kv_scales;
  float scalar = 1.0f;
};

namespace {

const float* Floats(const Buffer& buffer) { return static_cast<const float*>(buffer.get()); }

// sqrt(hidden) as the reference holds it: cast to the model's dtype before use.
float EmbeddingScale(int64_t hidden_size, DType dtype) {
  const float root = std::sqrt(static_cast<float>(hidden_size));
  return dtype == DType::kBF16 ? RoundToBf16(root) : root;
}

Buffer UploadFloats(Backend& backend, const std::vector<float>& values) {
  const auto bytes = static_cast<int64_t>(values.size() * sizeof(float));
  Buffer buffer = backend.Allocate(bytes);
  backend.Upload(values.data(), bytes, buffer.get());
  return buffer;
}

void Report(LinearObserver* observer, const std::string& prefix, const char* linear,
            const Tensor& input) {
  if (observer != nullptr) observer->Observe(prefix + linear, input);
}

}  // namespace

GemmaModel::GemmaModel(Backend& backend, const GemmaConfig& config, const TensorStore& store,
                       const ModelOptions& options)
    : GemmaModel(backend, config, *std::make_unique<WeightLoader>(backend, store, options),
                 options) {}

GemmaModel::GemmaModel(Backend& backend, const GemmaConfig& config, WeightSource& load,
                       const ModelOptions& options)
    : backend_(backend), config_(config), options_(options) {
  const bool gemma4 = config.family == GemmaFamily::kGemma4;
  const float gain_offset = gemma4 ? 0.0f : 1.0f;
  const std::string& prefix = config.tensor_prefix;
  const int64_t hidden = config.hidden_size;
  embedding_ = load.Table(prefix + "embed_tokens", config.vocab_size, hidden);
  embedding_scale_ = EmbeddingScale(hidden, options.dtype);
  lm_head_ = load.Linear(load.Has("lm_head.weight") ? "lm_head" : prefix + "embed_tokens",
                         config.vocab_size, hidden);
  final_gain_ = load.Gain(prefix + "norm.weight", hidden, gain_offset);
  for (int64_t i = 0; i < config.num_layers(); ++i) {
    const AttentionConfig& attention = config.attention(i);
    const int64_t q_size = config.num_attention_heads * attention.head_dim;
    const int64_t kv_size = attention.num_kv_heads * attention.head_dim;
    Layer layer;
    layer.name = fmt::format("layers.{}.", i);
    layer.kind = config.layer_types[static_cast<size_t>(i)];
    const std::string at = prefix + layer.name;
    layer.q = load.Linear(at + "self_attn.q_proj", q_size, hidden);
    layer.k = load.Linear(at + "self_attn.k_proj", kv_size, hidden);
    if (!attention.k_eq_v) layer.v = load.Linear(at + "self_attn.v_proj", kv_size, hidden);
    layer.o = load.Linear(at + "self_attn.o_proj", hidden, q_size);
    layer.gate = load.Linear(at + "mlp.gate_proj", config.intermediate_size, hidden);
    layer.up = load.Linear(at + "mlp.up_proj", config.intermediate_size, hidden);
    layer.down = load.Linear(at + "mlp.down_proj", hidden, config.intermediate_size);
    layer.input_gain = load.Gain(at + "input_layernorm.weight", hidden, gain_offset);
    layer.post_attention_gain =
        load.Gain(at + "post_attention_layernorm.weight", hidden, gain_offset);
    layer.pre_feedforward_gain =
        load.Gain(at + "pre_feedforward_layernorm.weight", hidden, gain_offset);
    layer.post_feedforward_gain =
        load.Gain(at + "post_feedforward_layernorm.weight", hidden, gain_offset);
    layer.q_gain = load.Gain(at + "self_attn.q_norm.weight", attention.head_dim, gain_offset);
    layer.k_gain = load.Gain(at + "self_attn.k_norm.weight", attention.head_dim, gain_offset);
    if (gemma4) layer.scalar = load.Scalar(at + "layer_scalar");
    layer.kv_scales = load.AttentionKvScales(at + "self_attn");
    layers_.push_back(std::move(layer));
  }
  sliding_frequency_ =
      UploadFloats(backend, RopeFrequencies(config.sliding.rope, config.sliding.head_dim));
  full_frequency_ = UploadFloats(backend, RopeFrequencies(config.full.rope, config.full.head_dim));
  format_summary_ = FormatSummary(load.format_counts());
  owned_ = load.TakeBuffers();
}

GemmaModel::~GemmaModel() = default;

KvLayers GemmaModel::MakeKvLayers(int64_t sliding_pages, int64_t global_pages,
                                  DType kv_dtype) const {
  KvLayers layers;
  for (int64_t i = 0; i < config_.num_layers(); ++i) {
    const AttentionConfig& attention = config_.attention(i);
    const Layer& layer = layers_[static_cast<size_t>(i)];
    const bool sliding = layer.kind == AttentionKind::kSliding;
    layers.push_back(backend_.MakeKvLayer(sliding ? sliding_pages : global_pages,
                                          attention.num_kv_heads, attention.head_dim, kv_dtype));
    SetKvScales(layer.kv_scales, layers.back());
  }
  return layers;
}

int64_t GemmaModel::num_kv_scales() const {
  return std::count_if(layers_.begin(), layers_.end(),
                       [](const Layer& layer) { return layer.kv_scales.in_checkpoint; });
}

Tensor GemmaModel::RopeTable(AttentionKind kind, const RowBatch& rows, Arena& arena) const {
  const bool sliding = kind == AttentionKind::kSliding;
  const int64_t head_dim = sliding ? config_.sliding.head_dim : config_.full.head_dim;
  const Tensor table = arena.Take(rows.num_rows, head_dim, DType::kF32);
  backend_.RopeTable(rows.positions, Floats(sliding ? sliding_frequency_ : full_frequency_),
                     options_.dtype, table);
  return table;
}

Tensor GemmaModel::Forward(const ForwardBatch& batch, KvLayers& cache,
                           const VerifierCapture& capture, Arena& arena) const {
  const int64_t rows = batch.rows.num_rows;
  const Tensor hidden = arena.Take(rows, config_.hidden_size, options_.dtype);
  backend_.Embed(embedding_, batch.token_ids, embedding_scale_, hidden);
  const Tensor sliding_rope = RopeTable(AttentionKind::kSliding, batch.rows, arena);
  const Tensor full_rope = RopeTable(AttentionKind::kFull, batch.rows, arena);
  const auto report = [&](int64_t index) {
    for (size_t i = 0; i < capture.aux_layer_ids.size(); ++i) {
      if (capture.aux_layer_ids[i] != index) continue;
      const auto at = static_cast<int64_t>(i) * config_.hidden_size;
      backend_.Copy(hidden, capture.aux.Cols(at, config_.hidden_size));
    }
    if (capture.on_hidden) capture.on_hidden(index, hidden);
  };
  report(0);
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Arena::Scope scope(arena);
    const Layer& layer = layers_[i];
    const Tensor& rope = layer.kind == AttentionKind::kSliding ? sliding_rope : full_rope;
    Attention(layer, batch, rope, cache[i], hidden, capture.observer, arena);
    FeedForward(layer, hidden, capture.observer, arena);
    report(static_cast<int64_t>(i) + 1);
  }
  return hidden;
}

void GemmaModel::Attention(const Layer& layer, const ForwardBatch& batch, const Tensor& rope,
                           KvLayer& cache, const Tensor& hidden, LinearObserver* observer,
                           Arena& arena) const {
  const int64_t rows = batch.rows.num_rows;
  const bool sliding = layer.kind == AttentionKind::kSliding;
  const bool k_eq_v = (sliding ? config_.sliding : config_.full).k_eq_v;
  const auto eps = static_cast<float>(config_.rms_norm_eps);
  const Tensor x = arena.Take(rows, config_.hidden_size, options_.dtype);
  backend_.RmsNorm(hidden, Floats(layer.input_gain), eps, x);
  const Tensor q = arena.Take(rows, layer.q.out_features, options_.dtype);
  const Tensor k = arena.Take(rows, layer.k.out_features, options_.dtype);
  Tensor v;
  std::vector<LinearOutput> outputs = {{&layer.q, q}, {&layer.k, k}};
  if (!k_eq_v) {
    v = arena.Take(rows, layer.v.out_features, options_.dtype);
    outputs.push_back({&layer.v, v});
  }
  Report(observer, layer.name, "self_attn.q_proj", x);
  Report(observer, layer.name, "self_attn.k_proj", x);
  if (!k_eq_v) Report(observer, layer.name, "self_attn.v_proj", x);
  backend_.Linear(x, outputs);

  const BlockTable& table = sliding ? batch.tables.sliding : batch.tables.global;
  QkvParams qkv;
  qkv.q = q;
  qkv.k = k;
  qkv.v = v;
  qkv.num_heads = config_.num_attention_heads;
  qkv.q_gain = Floats(layer.q_gain);
  qkv.k_gain = Floats(layer.k_gain);
  qkv.v_norm = config_.family == GemmaFamily::kGemma4;
  qkv.eps = eps;
  qkv.rope = rope;
  qkv.rows = batch.rows;
  qkv.table = table;
  qkv.cache = &cache;
  backend_.QkvNormRopeWrite(qkv);

  const Tensor attended = arena.Take(rows, layer.q.out_features, options_.dtype);
  AttentionParams attention;
  attention.q = q;
  attention.out = attended;
  attention.num_heads = config_.num_attention_heads;
  attention.scale = static_cast<float>(config_.attention_scale);
  attention.window = sliding ? config_.sliding_window : 0;
  attention.rows = batch.rows;
  attention.table = table;
  attention.cache = &cache;
  backend_.Attention(attention);

  Report(observer, layer.name, "self_attn.o_proj", attended);
  const LinearOutput projected = {&layer.o, x};
  backend_.Linear(attended, {&projected, 1});
  backend_.NormAdd({x, Floats(layer.post_attention_gain), eps, hidden, 1.0f});
}

void GemmaModel::FeedForward(const Layer& layer, const Tensor& hidden, LinearObserver* observer,
                             Arena& arena) const {
  const auto eps = static_cast<float>(config_.rms_norm_eps);
  const Tensor x = arena.Take(hidden.rows, config_.hidden_size, options_.dtype);
  backend_.RmsNorm(hidden, Floats(layer.pre_feedforward_gain), eps, x);
  const Tensor gate = arena.Take(hidden.rows, config_.intermediate_size, options_.dtype);
  const Tensor up = arena.Take(hidden.rows, config_.intermediate_size, options_.dtype);
  Report(observer, layer.name, "mlp.gate_proj", x);
  Report(observer, layer.name, "mlp.up_proj", x);
  const std::vector<LinearOutput> outputs = {{&layer.gate, gate}, {&layer.up, up}};
  backend_.Linear(x, outputs);
  backend_.GatedActivation(Activation::kGeluTanh, gate, up, gate);
  Report(observer, layer.name, "mlp.down_proj", gate);
  const LinearOutput down = {&layer.down, x};
  backend_.Linear(gate, {&down, 1});
  backend_.NormAdd({x, Floats(layer.post_feedforward_gain), eps, hidden, layer.scalar});
}

void GemmaModel::FinalNorm(const Tensor& hidden, const Tensor& out) const {
  backend_.RmsNorm(hidden, Floats(final_gain_), static_cast<float>(config_.rms_norm_eps), out);
}

void GemmaModel::Logits(const Tensor& hidden, const Tensor& logits, Arena& arena) const {
  const Tensor normed = arena.Take(hidden.rows, config_.hidden_size, options_.dtype);
  FinalNorm(hidden, normed);
  const LinearOutput head = {&lm_head_, logits};
  backend_.Linear(normed, {&head, 1});
  if (config_.final_logit_softcap > 0) {
    backend_.Softcap(static_cast<float>(config_.final_logit_softcap), logits);
  }
}

}  // namespace talon

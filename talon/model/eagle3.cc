#include "talon/model/eagle3.h"

#include <cmath>
#include <utility>

#include "talon/base/error.h"
#include "talon/model/rope.h"
#include "talon/model/weights.h"

namespace talon {
namespace {

const float* Floats(const Buffer& buffer) { return static_cast<const float*>(buffer.get()); }

void CheckBelongs(const Eagle3Config& drafter, const GemmaConfig& verifier) {
  if (drafter.target_hidden_size != verifier.hidden_size) {
    Throw(
        ErrorCode::kInvalidArgument,
        "drafter and verifier do not belong together: the drafter's features have hidden size {}, "
        "the verifier's {}",
        drafter.target_hidden_size, verifier.hidden_size);
  }
  if (drafter.vocab_size != verifier.vocab_size) {
    Throw(ErrorCode::kInvalidArgument,
          "drafter and verifier do not belong together: vocab_size {} against {}",
          drafter.vocab_size, verifier.vocab_size);
  }
  for (const int64_t id : drafter.aux_layer_ids) {
    if (id < 0 || id > verifier.num_layers()) {
      Throw(ErrorCode::kInvalidArgument,
            "drafter and verifier do not belong together: eagle_aux_hidden_state_layer_ids names "
            "layer "
            "{}, the verifier has {} layers",
            id, verifier.num_layers());
    }
  }
}

}  // namespace

Eagle3Drafter::Eagle3Drafter(const Eagle3Config& config, const TensorStore& store,
                             const ModelOptions& options, const GemmaModel& verifier)
    : Eagle3Drafter(config, *std::make_unique<WeightLoader>(verifier.backend(), store, options),
                    options, verifier) {}

Eagle3Drafter::Eagle3Drafter(const Eagle3Config& config, WeightSource& load,
                             const ModelOptions& options, const GemmaModel& verifier)
    : backend_(verifier.backend()), config_(config), options_(options) {
  if (config_.aux_layer_ids.empty()) {
    config_.aux_layer_ids = DefaultAuxLayerIds(verifier.config().num_layers());
  }
  CheckBelongs(config_, verifier.config());
  const int64_t hidden = config_.hidden_size;
  const int64_t q_size = config_.num_attention_heads * config_.head_dim;
  const int64_t kv_size = config_.num_kv_heads * config_.head_dim;
  const std::string& at = config_.layer_prefix;
  if (load.Has("embed_tokens.weight") || load.Has("embed_tokens.weight_packed")) {
    embedding_ = load.Table("embed_tokens", config_.vocab_size, hidden);
  } else if (hidden == verifier.config().hidden_size) {
    embedding_ = verifier.embedding();
  } else {
    Throw(ErrorCode::kNotFound,
          "{}: no embed_tokens.weight, and the verifier's embedding has width {}, not {}",
          load.name(), verifier.config().hidden_size, hidden);
  }
  fc_ = load.Linear("fc", hidden, feature_size());
  q_ = load.Linear(at + "self_attn.q_proj", q_size, 2 * hidden);
  k_ = load.Linear(at + "self_attn.k_proj", kv_size, 2 * hidden);
  v_ = load.Linear(at + "self_attn.v_proj", kv_size, 2 * hidden);
  o_ = load.Linear(at + "self_attn.o_proj", hidden, q_size);
  gate_ = load.Linear(at + "mlp.gate_proj", config_.intermediate_size, hidden);
  up_ = load.Linear(at + "mlp.up_proj", config_.intermediate_size, hidden);
  down_ = load.Linear(at + "mlp.down_proj", hidden, config_.intermediate_size);
  lm_head_ = load.Linear("lm_head", config_.draft_vocab_size, hidden);
  input_gain_ = load.Gain(at + "input_layernorm.weight", hidden);
  hidden_gain_ = load.Gain(at + "hidden_norm.weight", hidden);
  post_attention_gain_ = load.Gain(at + "post_attention_layernorm.weight", hidden);
  final_gain_ = load.Gain("norm.weight", hidden);
  if (config_.norm_before_fc) fc_input_gain_ = load.Gain("input_norm.weight", feature_size());
  if (config_.fc_norm) {
    for (size_t i = 0; i < config_.aux_layer_ids.size(); ++i) {
      fc_chunk_gains_.push_back(
          load.Gain(fmt::format("fc_norm.{}.weight", i), config_.target_hidden_size));
    }
  }
  const std::vector<float> frequencies = RopeFrequencies(config_.rope, config_.head_dim);
  const auto frequency_bytes = static_cast<int64_t>(frequencies.size() * sizeof(float));
  frequency_ = backend_.Allocate(frequency_bytes);
  backend_.Upload(frequencies.data(), frequency_bytes, frequency_.get());
  const std::vector<int32_t> offsets = load.DraftOffsets(config_);
  const auto offset_bytes = static_cast<int64_t>(offsets.size() * sizeof(int32_t));
  offsets_ = backend_.Allocate(offset_bytes);
  backend_.Upload(offsets.data(), offset_bytes, offsets_.get());
  kv_scales_ = load.AttentionKvScales(at + "self_attn");
  format_summary_ = FormatSummary(load.format_counts());
  owned_ = load.TakeBuffers();
}

Eagle3Drafter::~Eagle3Drafter() = default;

int64_t Eagle3Drafter::feature_size() const {
  return static_cast<int64_t>(config_.aux_layer_ids.size()) * config_.target_hidden_size;
}

const int32_t* Eagle3Drafter::draft_id_offsets() const {
  return static_cast<const int32_t*>(offsets_.get());
}

KvLayer Eagle3Drafter::MakeKvLayer(int64_t num_pages, DType kv_dtype) const {
  KvLayer layer = backend_.MakeKvLayer(num_pages, config_.num_kv_heads, config_.head_dim, kv_dtype);
  SetKvScales(kv_scales_, layer);
  return layer;
}

int64_t Eagle3Drafter::scratch_columns() const {
  const int64_t hidden = config_.hidden_size;
  const int64_t attention = 2 * q_.out_features + 2 * k_.out_features + 2 * config_.head_dim;
  // Normed features, fused features, embedding, joined inputs, attention's output, the MLP's input.
  return feature_size() + 6 * hidden + attention + 2 * config_.intermediate_size;
}

void Eagle3Drafter::Observe(const std::string& linear, const Tensor& input) const {
  if (observer_ != nullptr) observer_->Observe(linear, input);
}

Tensor Eagle3Drafter::Fuse(const Tensor& features, Arena& arena) const {
  const auto eps = static_cast<float>(config_.rms_norm_eps);
  Tensor input = features;
  if (fc_input_gain_ != nullptr || !fc_chunk_gains_.empty()) {
    input = arena.Take(features.rows, features.cols, options_.dtype);
  }
  if (fc_input_gain_ != nullptr) backend_.RmsNorm(features, Floats(fc_input_gain_), eps, input);
  for (size_t i = 0; i < fc_chunk_gains_.size(); ++i) {
    const int64_t width = config_.target_hidden_size;
    const auto at = static_cast<int64_t>(i) * width;
    backend_.RmsNorm(features.Cols(at, width), Floats(fc_chunk_gains_[i]), eps,
                     input.Cols(at, width));
  }
  Observe("fc", input);
  const Tensor fused = arena.Take(features.rows, config_.hidden_size, options_.dtype);
  const LinearOutput output = {&fc_, fused};
  backend_.Linear(input, {&output, 1});
  return fused;
}

Tensor Eagle3Drafter::Forward(const ForwardBatch& batch, const Tensor& inputs, KvLayer& cache,
                              Arena& arena) const {
  const int64_t rows = batch.rows.num_rows;
  const int64_t hidden = config_.hidden_size;
  const auto eps = static_cast<float>(config_.rms_norm_eps);
  const Tensor embedded = arena.Take(rows, hidden, options_.dtype);
  backend_.Embed(embedding_, batch.token_ids, 1.0f, embedded);
  const Tensor joined = arena.Take(rows, 2 * hidden, options_.dtype);
  const Tensor normed_inputs = joined.Cols(hidden, hidden);
  backend_.RmsNorm(embedded, Floats(input_gain_), eps, joined.Cols(0, hidden));
  backend_.RmsNorm(inputs, Floats(hidden_gain_), eps, normed_inputs);
  const Tensor residual = Attention(batch, joined, cache, arena);
  backend_.Add(residual, config_.norm_before_residual ? normed_inputs : inputs, residual);
  const Tensor states = FeedForward(residual, arena);
  if (config_.norm_output) backend_.RmsNorm(states, Floats(final_gain_), eps, states);
  return states;
}

Tensor Eagle3Drafter::Attention(const ForwardBatch& batch, const Tensor& joined, KvLayer& cache,
                                Arena& arena) const {
  const int64_t rows = batch.rows.num_rows;
  const Tensor q = arena.Take(rows, q_.out_features, options_.dtype);
  const Tensor k = arena.Take(rows, k_.out_features, options_.dtype);
  const Tensor v = arena.Take(rows, v_.out_features, options_.dtype);
  Observe(config_.layer_prefix + "self_attn.q_proj", joined);
  Observe(config_.layer_prefix + "self_attn.k_proj", joined);
  Observe(config_.layer_prefix + "self_attn.v_proj", joined);
  const std::vector<LinearOutput> outputs = {{&q_, q}, {&k_, k}, {&v_, v}};
  backend_.Linear(joined, outputs);

  const Tensor rope = arena.Take(rows, config_.head_dim, DType::kF32);
  backend_.RopeTable(batch.rows.positions, Floats(frequency_), options_.dtype, rope);
  QkvParams qkv;
  qkv.q = q;
  qkv.k = k;
  qkv.v = v;
  qkv.num_heads = config_.num_attention_heads;
  qkv.rope = rope;
  qkv.rows = batch.rows;
  qkv.table = batch.tables.global;
  qkv.cache = &cache;
  backend_.QkvNormRopeWrite(qkv);

  AttentionParams attention;
  attention.q = q;
  attention.out = arena.Take(rows, q_.out_features, options_.dtype);
  attention.num_heads = config_.num_attention_heads;
  attention.scale = 1.0f / std::sqrt(static_cast<float>(config_.head_dim));
  attention.rows = batch.rows;
  attention.table = batch.tables.global;
  attention.cache = &cache;
  backend_.Attention(attention);

  Observe(config_.layer_prefix + "self_attn.o_proj", attention.out);
  const Tensor out = arena.Take(rows, config_.hidden_size, options_.dtype);
  const LinearOutput projected = {&o_, out};
  backend_.Linear(attention.out, {&projected, 1});
  return out;
}

Tensor Eagle3Drafter::FeedForward(const Tensor& residual, Arena& arena) const {
  const int64_t rows = residual.rows;
  const Tensor x = arena.Take(rows, config_.hidden_size, options_.dtype);
  backend_.RmsNorm(residual, Floats(post_attention_gain_), static_cast<float>(config_.rms_norm_eps),
                   x);
  const Tensor gate = arena.Take(rows, config_.intermediate_size, options_.dtype);
  const Tensor up = arena.Take(rows, config_.intermediate_size, options_.dtype);
  Observe(config_.layer_prefix + "mlp.gate_proj", x);
  Observe(config_.layer_prefix + "mlp.up_proj", x);
  const std::vector<LinearOutput> outputs = {{&gate_, gate}, {&up_, up}};
  backend_.Linear(x, outputs);
  backend_.GatedActivation(Activation::kSilu, gate, up, gate);
  Observe(config_.layer_prefix + "mlp.down_proj", gate);
  const LinearOutput down = {&down_, x};
  backend_.Linear(gate, {&down, 1});
  backend_.Add(residual, x, residual);
  return residual;
}

void Eagle3Drafter::Logits(const Tensor& states, const Tensor& logits, Arena& arena) const {
  Tensor normed = states;
  if (!config_.norm_output) {
    normed = arena.Take(states.rows, config_.hidden_size, options_.dtype);
    backend_.RmsNorm(states, Floats(final_gain_), static_cast<float>(config_.rms_norm_eps), normed);
  }
  const LinearOutput head = {&lm_head_, logits};
  backend_.Linear(normed, {&head, 1});
}

}  // namespace talon

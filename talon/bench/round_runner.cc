#include "talon/bench/round_runner.h"

#include <utility>

namespace talon {
namespace {

RowPlan SamePlan(int64_t sequences, int64_t rows, int64_t first) {
  const auto count = static_cast<size_t>(sequences);
  return {std::vector<int32_t>(count, static_cast<int32_t>(rows)),
          std::vector<int32_t>(count, static_cast<int32_t>(first))};
}

}  // namespace

RoundRunner::RoundRunner(const GemmaModel& verifier, const Eagle3Drafter* drafter,
                         KvLayers& verifier_cache, KvLayer* drafter_cache, int64_t num_sequences,
                         int64_t num_drafts, int64_t context, int64_t pages_per_sequence)
    : verifier_(verifier),
      drafter_(drafter),
      backend_(verifier.backend()),
      verifier_cache_(verifier_cache),
      drafter_cache_(drafter_cache),
      sequences_(num_sequences),
      drafts_(num_drafts),
      context_(context),
      verify_rows_(num_sequences * (1 + num_drafts)),
      first_(backend_, verify_rows_, num_sequences, pages_per_sequence),
      verify_(backend_, verify_rows_, num_sequences, pages_per_sequence) {
  verify_.Set(SamePlan(sequences_, 1 + drafts_, context));
  verify_.Upload();
  for (int64_t step = 1; step < drafts_; ++step) {
    steps_.emplace_back(backend_, num_sequences, num_sequences, pages_per_sequence);
    steps_.back().Set(SamePlan(sequences_, 1, context + step - 1));
    steps_.back().Upload();
  }
  std::vector<int32_t> index;
  for (int64_t s = 0; s < sequences_; ++s) {
    for (int64_t t = 0; t <= drafts_; ++t) {
      index.push_back(static_cast<int32_t>(t * sequences_ + s));
    }
  }
  verify_index_ = UploadInts(backend_, index);
  tokens_ = UploadInts(backend_, std::vector<int32_t>(index.size(), 2));
  host_results_.assign(static_cast<size_t>(verify_rows_ + sequences_), 2);
  results_ = UploadInts(backend_, host_results_);
  host_control_.assign(static_cast<size_t>(verify_rows_ + 2 * sequences_), 0);
  control_ = UploadInts(backend_, host_control_);
  if (drafts_ > 0) {
    const int64_t columns = drafter->feature_size();
    feature_memory_ = backend_.Allocate(verify_rows_ * columns * 2);
    features_ = {feature_memory_.get(), DType::kBF16, verify_rows_, columns, columns};
    backend_.FillRandom(features_, 1.0f, 3);
    const int64_t hidden = drafter->hidden_size();
    state_memory_ = backend_.Allocate(sequences_ * hidden * 2);
    states_ = {state_memory_.get(), DType::kBF16, sequences_, hidden, hidden};
    backend_.FillRandom(states_, 1.0f, 4);
  }
  rest_ = Record([this](Arena& arena) { Rest(arena); });
}

RoundRunner::~RoundRunner() = default;

RoundRunner::Recorded RoundRunner::Record(const std::function<void(Arena&)>& ops) {
  Recorded recorded;
  recorded.arena = std::make_unique<Arena>(backend_);
  const auto again = [ops, arena = recorded.arena.get()] {
    arena->Reset();
    ops(*arena);
  };
  again();
  backend_.Synchronize();
  recorded.recording = backend_.Record(again);
  return recorded;
}

void RoundRunner::SetControl(const std::vector<int32_t>& accepted) {
  RowPlan plan;
  int32_t* rows = host_control_.data();
  int32_t* last_verified = rows + verify_rows_;
  int32_t* last_drafted = last_verified + sequences_;
  int32_t count = 0;
  for (int64_t s = 0; s < sequences_; ++s) {
    const int32_t committed = accepted[static_cast<size_t>(s)] + 1;
    for (int32_t i = 0; i < committed; ++i) {
      rows[count++] = static_cast<int32_t>(s * (1 + drafts_)) + i;
    }
    last_verified[s] = rows[count - 1];
    last_drafted[s] = count - 1;
    plan.counts.push_back(committed);
    plan.first.push_back(static_cast<int32_t>(context_) - committed);
  }
  first_.Set(plan);
  first_.Upload();
  backend_.Upload(host_control_.data(),
                  static_cast<int64_t>(host_control_.size() * sizeof(int32_t)), control_.get());
}

void RoundRunner::FirstPass(int64_t rows, Arena& arena) {
  const int32_t* verified_rows = Ints(control_);
  const int32_t* last_verified = verified_rows + verify_rows_;
  const int32_t* last_drafted = last_verified + sequences_;
  const Tensor chosen = Column(Ints(results_), verify_rows_);
  const Tensor features = arena.Take(rows, features_.cols, features_.dtype);
  backend_.GatherRows(features_, verified_rows, features);
  const Tensor successors = Column(arena.TakeArray<int32_t>(rows), rows);
  backend_.GatherRows(chosen, verified_rows, successors);
  backend_.GatherRows(chosen, last_verified, Column(Ints(tokens_), sequences_));
  const Tensor fused = drafter_->Fuse(features, arena);
  const Tensor states =
      drafter_->Forward(first_.Batch(rows, static_cast<const int32_t*>(successors.data)), fused,
                        *drafter_cache_, arena);
  backend_.GatherRows(states, last_drafted, states_);
  Choose(states_, 1, arena);
}

// Draft number `draft` of every sequence, from its state.
void RoundRunner::Choose(const Tensor& states, int64_t draft, Arena& arena) {
  const Tensor logits = arena.Take(states.rows, drafter_->draft_vocab_size(), DType::kF32);
  drafter_->Logits(states, logits, arena);
  int32_t* ids = Ints(tokens_) + draft * sequences_;
  backend_.Argmax(logits, ids);
  backend_.MapDraftIds(drafter_->draft_id_offsets(), states.rows, ids);
}

void RoundRunner::Rest(Arena& arena) {
  if (drafts_ == 0) {
    Verify(Ints(results_), arena);
    return;
  }
  Tensor states = states_;
  for (int64_t step = 1; step < drafts_; ++step) {
    const DeviceBatch& batch = steps_[static_cast<size_t>(step - 1)];
    states = drafter_->Forward(batch.Batch(sequences_, Ints(tokens_) + step * sequences_), states,
                               *drafter_cache_, arena);
    Choose(states, step + 1, arena);
  }
  const Tensor inputs = Column(arena.TakeArray<int32_t>(verify_rows_), verify_rows_);
  backend_.GatherRows(Column(Ints(tokens_), verify_rows_), Ints(verify_index_), inputs);
  Verify(static_cast<const int32_t*>(inputs.data), arena);
}

void RoundRunner::Verify(const int32_t* tokens, Arena& arena) {
  const ForwardBatch batch = verify_.Batch(verify_rows_, tokens);
  VerifierCapture capture;
  if (drafts_ > 0) {
    capture.aux_layer_ids = drafter_->aux_layer_ids();
    capture.aux = features_;
  }
  const Tensor hidden = verifier_.Forward(batch, verifier_cache_, capture, arena);
  const Tensor logits = arena.Take(verify_rows_, verifier_.config().vocab_size, DType::kF32);
  verifier_.Logits(hidden, logits, arena);
  int32_t* chosen = Ints(results_);
  backend_.Argmax(logits, chosen);
  backend_.VerifyDrafts(tokens, chosen, batch.rows, chosen + verify_rows_);
}

void RoundRunner::Run(const std::vector<int32_t>& accepted) {
  if (drafts_ > 0) {
    SetControl(accepted);
    int64_t rows = 0;
    for (const int32_t count : accepted) rows += count + 1;
    Recorded& first = first_passes_[rows];
    if (first.recording == nullptr) {
      first = Record([this, rows](Arena& arena) { FirstPass(rows, arena); });
    }
    first.recording->Run();
  }
  rest_.recording->Run();
  backend_.Download(results_.get(), static_cast<int64_t>(host_results_.size() * sizeof(int32_t)),
                    host_results_.data());
}

}  // namespace talon

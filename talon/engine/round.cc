// One round of the engine: verifier forward, choice of tokens, commitment, drafting.
// Source: specs/eagle3.md 2.4, 3.
#include <algorithm>
#include <utility>

#include "talon/engine/sequence.h"

namespace talon {
namespace {

// Rows whose logits are held at once: bounds memory at 262,144 logits a row.
constexpr int64_t kLogitRows = 64;

SamplingRow RowSampling(const SamplingParams& params, int64_t position) {
  SamplingRow row;
  row.temperature = static_cast<float>(params.temperature);
  row.top_k = static_cast<int32_t>(params.top_k);
  row.top_p = static_cast<float>(params.top_p);
  row.min_p = static_cast<float>(params.min_p);
  row.seed = params.seed;
  row.position = position;
  return row;
}

}  // namespace

void Engine::RunVerifier(Step_& step) {
  const ForwardBatch batch = step.builder.Upload(backend_, arena_);
  VerifierCapture capture;
  if (!aux_layer_ids_.empty()) {
    const auto columns =
        static_cast<int64_t>(aux_layer_ids_.size()) * verifier_.config().hidden_size;
    step.features = arena_.Take(batch.rows.num_rows, columns, verifier_.options().dtype);
    capture.aux_layer_ids = aux_layer_ids_;
    capture.aux = step.features;
  }
  step.hidden = verifier_.Forward(batch, pool_->verifier_layers(), capture, arena_);
}

// Chooses a token after every row of decoding sequences and after the last row of a finished
// prompt.
void Engine::ChooseTokens(Step_& step) {
  std::vector<int32_t> rows;
  std::vector<SamplingRow> sampling;
  bool greedy = true;
  for (Step_::Item& item : step.items) {
    if (!item.samples) continue;
    const Sequence& sequence = *item.sequence;
    item.num_choices = sequence.prefilling() ? 1 : item.num_rows;
    item.first_choice = static_cast<int64_t>(rows.size());
    for (int64_t row = item.num_rows - item.num_choices; row < item.num_rows; ++row) {
      rows.push_back(static_cast<int32_t>(item.first_row + row));
      sampling.push_back(RowSampling(sequence.request.sampling, sequence.num_computed + row + 1));
    }
    greedy = greedy && sequence.request.sampling.temperature == 0.0;
  }
  const auto total = static_cast<int64_t>(rows.size());
  step.chosen.resize(rows.size());
  if (total == 0) return;
  const int32_t* row_ids = UploadArray<int32_t>(backend_, arena_, rows);
  const SamplingRow* row_sampling = UploadArray<SamplingRow>(backend_, arena_, sampling);
  int32_t* chosen = arena_.TakeArray<int32_t>(total);
  for (int64_t begin = 0; begin < total; begin += kLogitRows) {
    const Arena::Scope scope(arena_);
    const int64_t count = std::min(kLogitRows, total - begin);
    const Tensor hidden = arena_.Take(count, step.hidden.cols, step.hidden.dtype);
    backend_.GatherRows(step.hidden, row_ids + begin, hidden);
    const Tensor logits = arena_.Take(count, verifier_.config().vocab_size, DType::kF32);
    verifier_.Logits(hidden, logits, arena_);
    if (greedy) {
      backend_.Argmax(logits, chosen + begin);
    } else {
      backend_.Sample(logits, row_sampling + begin, chosen + begin);
    }
  }
  backend_.Download(chosen, total * static_cast<int64_t>(sizeof(int32_t)), step.chosen.data());
}

// Accepts the leading drafts that equal the verifier's choices, appends the chosen tokens, applies
// stop conditions.
std::vector<StepOutput> Engine::Commit(Step_& step) {
  std::vector<StepOutput> outputs;
  for (Step_::Item& item : step.items) {
    Sequence& sequence = *item.sequence;
    item.committed_rows = item.num_rows;
    if (!item.samples) {
      sequence.num_computed += item.num_rows;
      continue;
    }
    const int32_t* chosen = step.chosen.data() + item.first_choice;
    StepOutput output;
    output.request_id = sequence.id;
    if (!sequence.prefilling()) {
      const std::vector<int32_t>& drafts = sequence.drafts;
      while (item.accepted < static_cast<int64_t>(drafts.size()) &&
             drafts[static_cast<size_t>(item.accepted)] == chosen[item.accepted]) {
        ++item.accepted;
      }
      item.committed_rows = item.accepted + 1;
      output.has_round = !drafts.empty();
      output.round = {drafts, item.accepted};
    }
    sequence.num_computed += item.committed_rows;
    for (int64_t i = 0; i <= item.accepted && !sequence.finished(); ++i) {
      const int32_t token = chosen[i];
      sequence.tokens.push_back(token);
      output.tokens.push_back(token);
      const std::vector<int32_t>& stops = sequence.request.stop_token_ids;
      if (std::find(stops.begin(), stops.end(), token) != stops.end()) {
        sequence.finish_reason = FinishReason::kStop;
      } else if (++sequence.num_generated >= sequence.request.max_tokens) {
        sequence.finish_reason = FinishReason::kLength;
      }
    }
    output.finish_reason = sequence.finish_reason;
    outputs.push_back(std::move(output));
  }
  return outputs;
}

void Engine::EmitFeatures(const Step_& step) {
  if (!feature_sink_ || aux_layer_ids_.empty()) return;
  for (const Step_::Item& item : step.items) {
    const int64_t first_position = item.sequence->num_computed - item.committed_rows;
    feature_sink_(item.sequence->id, first_position,
                  step.features.Rows(item.first_row, item.committed_rows));
  }
}

int64_t Engine::DraftsFor(const Sequence& sequence) const {
  // The row of draft t sits at position num_computed + t, which must exist in both models.
  const int64_t limit = std::min(options_.max_model_len, drafter_->max_position_embeddings());
  return std::clamp<int64_t>(limit - 1 - sequence.num_computed, 0,
                             sequence.request.num_speculative_tokens);
}

// The drafter reads the true features of every committed row, which also overwrites what it wrote
// from its own states while drafting; then it drafts for the sequences that decode next.
void Engine::Draft(Step_& step) {
  std::vector<DraftInput> inputs;
  std::vector<Sequence*> sequences;
  std::vector<std::vector<int32_t>> successors;
  std::vector<int32_t> feature_rows;
  successors.reserve(step.items.size());
  for (const Step_::Item& item : step.items) {
    Sequence& sequence = *item.sequence;
    sequence.drafts.clear();
    if (sequence.finished()) continue;
    DraftInput input;
    input.first_position = sequence.num_computed - item.committed_rows;
    input.num_drafts = item.samples ? DraftsFor(sequence) : 0;
    pool_->Extend(sequence.pages, sequence.num_computed + input.num_drafts);
    input.pages = &sequence.pages;
    const auto begin = sequence.tokens.begin() + input.first_position + 1;
    successors.emplace_back(begin, begin + item.committed_rows);
    input.successors = successors.back();
    for (int64_t row = 0; row < item.committed_rows; ++row) {
      feature_rows.push_back(static_cast<int32_t>(item.first_row + row));
    }
    inputs.push_back(input);
    sequences.push_back(&sequence);
  }
  if (inputs.empty()) return;
  const auto rows = static_cast<int64_t>(feature_rows.size());
  const Tensor features = arena_.Take(rows, step.features.cols, step.features.dtype);
  backend_.GatherRows(step.features, UploadArray<int32_t>(backend_, arena_, feature_rows),
                      features);
  DraftIds drafts = draft_runner_->Run(inputs, features, pool_->drafter_layer(), arena_);
  for (size_t i = 0; i < sequences.size(); ++i) sequences[i]->drafts = std::move(drafts[i]);
}

}  // namespace talon

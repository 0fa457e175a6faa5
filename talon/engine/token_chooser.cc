#include "talon/engine/token_chooser.h"

#include <algorithm>

#include "talon/base/error.h"
#include "talon/engine/batch_builder.h"

namespace talon {
namespace {

template <typename T>
std::vector<T> DownloadArray(Backend& backend, const T* data, int64_t count) {
  std::vector<T> values(static_cast<size_t>(count));
  if (count > 0) {
    backend.Download(data, count * static_cast<int64_t>(sizeof(T)), values.data());
  }
  return values;
}

// Indices within the part of the rows that want log-probabilities.
std::vector<int64_t> RowsWithLogprobs(std::span<const ChoiceRow> rows) {
  std::vector<int64_t> wanted;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].num_logprobs >= 0) wanted.push_back(static_cast<int64_t>(i));
  }
  return wanted;
}

Tensor Gather(Backend& backend, const Tensor& from, std::span<const int32_t> rows, Arena& arena) {
  const Tensor out = arena.Take(static_cast<int64_t>(rows.size()), from.cols, from.dtype);
  backend.GatherRows(from, UploadArray<int32_t>(backend, arena, rows), out);
  return out;
}

}  // namespace

Choices TokenChooser::Choose(const Tensor& hidden, std::span<const ChoiceRow> rows,
                             std::span<const LogitAdjustment> adjustments, Arena& arena) const {
  Choices choices;
  choices.tokens.resize(rows.size());
  choices.logprobs.resize(rows.size());
  const auto total = static_cast<int64_t>(rows.size());
  auto next = adjustments.begin();
  for (int64_t begin = 0; begin < total; begin += kLogitRows) {
    const Arena::Scope scope(arena);
    const int64_t count = std::min(kLogitRows, total - begin);
    Part part{rows.subspan(static_cast<size_t>(begin), static_cast<size_t>(count)), begin, {}};
    for (; next != adjustments.end() && next->row < begin + count; ++next) {
      part.adjustments.push_back(*next);
      part.adjustments.back().row -= static_cast<int32_t>(begin);
    }
    ChoosePart(hidden, part, choices, arena);
  }
  return choices;
}

void TokenChooser::ChoosePart(const Tensor& hidden, const Part& part, Choices& choices,
                              Arena& arena) const {
  Backend& backend = verifier_.backend();
  const auto count = static_cast<int64_t>(part.rows.size());
  std::vector<int32_t> hidden_rows;
  std::vector<SamplingRow> sampling;
  for (const ChoiceRow& row : part.rows) {
    hidden_rows.push_back(row.hidden_row);
    sampling.push_back(row.sampling);
  }
  const Tensor logits = arena.Take(count, verifier_.config().vocab_size, DType::kF32);
  verifier_.Logits(Gather(backend, hidden, hidden_rows, arena), logits, arena);
  const std::vector<int64_t> wanted = RowsWithLogprobs(part.rows);
  Tensor raw = logits;
  if (!wanted.empty() && !part.adjustments.empty()) {
    raw = arena.Take(count, logits.cols, DType::kF32);
    backend.Copy(logits, raw);
  }
  if (!part.adjustments.empty()) {
    backend.AdjustLogits(logits, UploadArray<LogitAdjustment>(backend, arena, part.adjustments),
                         static_cast<int64_t>(part.adjustments.size()));
  }
  int32_t* chosen = arena.TakeArray<int32_t>(count);
  const bool greedy = std::all_of(sampling.begin(), sampling.end(),
                                  [](const SamplingRow& row) { return row.temperature == 0.0f; });
  if (greedy) {
    backend.Argmax(logits, chosen);
  } else {
    backend.Sample(logits, UploadArray<SamplingRow>(backend, arena, sampling), chosen);
  }
  const std::vector<int32_t> tokens = DownloadArray(backend, chosen, count);
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] < 0) {
      Throw(ErrorCode::kDataLoss,
            "the verifier's logits hold a NaN at position {}; the checkpoint or the hardware is "
            "damaged: run talon check",
            part.rows[i].sampling.position);
    }
    const int32_t known = part.rows[i].known_token;
    choices.tokens[static_cast<size_t>(part.first_row) + i] = known >= 0 ? known : tokens[i];
  }
  if (!wanted.empty()) ReadLogprobs(raw, wanted, part, choices, arena);
}

void TokenChooser::ReadLogprobs(const Tensor& logits, std::span<const int64_t> wanted,
                                const Part& part, Choices& choices, Arena& arena) const {
  Backend& backend = verifier_.backend();
  const auto count = static_cast<int64_t>(wanted.size());
  std::vector<int32_t> rows;
  std::vector<int32_t> tokens;
  LogprobOutput out;
  for (const int64_t i : wanted) {
    rows.push_back(static_cast<int32_t>(i));
    tokens.push_back(choices.tokens[static_cast<size_t>(part.first_row + i)]);
    out.num_top = std::max(out.num_top, part.rows[static_cast<size_t>(i)].num_logprobs);
  }
  out.num_top = std::min(out.num_top, logits.cols);
  const int64_t top_count = count * out.num_top;
  out.chosen = arena.TakeArray<float>(count);
  out.top_tokens = arena.TakeArray<int32_t>(top_count);
  out.top_logprobs = arena.TakeArray<float>(top_count);
  backend.Logprobs(Gather(backend, logits, rows, arena),
                   UploadArray<int32_t>(backend, arena, tokens), out);
  const std::vector<float> chosen = DownloadArray(backend, out.chosen, count);
  const std::vector<int32_t> top_tokens = DownloadArray(backend, out.top_tokens, top_count);
  const std::vector<float> top_logprobs = DownloadArray(backend, out.top_logprobs, top_count);
  for (int64_t i = 0; i < count; ++i) {
    const auto row = static_cast<size_t>(wanted[static_cast<size_t>(i)]);
    TokenLogprobs& result = choices.logprobs[static_cast<size_t>(part.first_row) + row];
    result.logprob = chosen[static_cast<size_t>(i)];
    for (int64_t j = 0; j < std::min(part.rows[row].num_logprobs, out.num_top); ++j) {
      const auto at = static_cast<size_t>(i * out.num_top + j);
      result.top.emplace_back(top_tokens[at], top_logprobs[at]);
    }
  }
}

}  // namespace talon

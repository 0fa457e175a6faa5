// From hidden rows to tokens and log-probabilities: logits for a few rows at a time, what the
// request's history does to them, then argmax or sampling.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "talon/engine/request.h"
#include "talon/model/gemma.h"

namespace talon {

// A row after which a token is chosen, or, in a prompt, whose next token's log-probability is
// wanted.
struct ChoiceRow {
  int32_t hidden_row = 0;
  SamplingRow sampling;
  int32_t known_token = -1;   // the prompt's next token; -1: one is chosen
  int64_t num_logprobs = -1;  // as in SamplingParams
};

struct Choices {
  std::vector<int32_t> tokens;          // [rows]
  std::vector<TokenLogprobs> logprobs;  // [rows]; default values where none are asked for
};

class TokenChooser {
 public:
  // Rows whose logits are held at once: bounds memory at 262,144 logits a row.
  static constexpr int64_t kLogitRows = 64;

  explicit TokenChooser(const GemmaModel& verifier) : verifier_(verifier) {}

  // `adjustments` name rows by their index in `rows`, ascending. Throws kDataLoss when logits are
  // not numbers.
  Choices Choose(const Tensor& hidden, std::span<const ChoiceRow> rows,
                 std::span<const LogitAdjustment> adjustments, Arena& arena) const;

 private:
  // Rows that are worked on together, and their place among all.
  struct Part {
    std::span<const ChoiceRow> rows;
    int64_t first_row = 0;
    std::vector<LogitAdjustment> adjustments;  // rows counted from first_row
  };
  void ChoosePart(const Tensor& hidden, const Part& part, Choices& choices, Arena& arena) const;
  // logits of the rows that want log-probabilities, as they are before adjustments.
  void ReadLogprobs(const Tensor& logits, std::span<const int64_t> wanted, const Part& part,
                    Choices& choices, Arena& arena) const;

  const GemmaModel& verifier_;
};

}  // namespace talon

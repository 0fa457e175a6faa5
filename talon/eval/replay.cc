#include "talon/eval/replay.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "talon/base/error.h"
#include "talon/engine/acceptance_rule.h"

namespace talon {
namespace {

// Draft rows of one step: enough for the matrix kernels to run at full speed.
constexpr int64_t kMaxBranches = 128;

Round MakeRound(std::span<const int32_t> continuation, const DraftIds& drafts, size_t start,
                int64_t k) {
  const std::vector<int32_t>& all = drafts[start];
  Round round;
  round.drafts.assign(all.begin(), all.begin() + std::min<int64_t>(k, std::ssize(all)));
  round.accepted =
      CountAccepted(round.drafts, continuation.subspan(std::min(start + 1, continuation.size())));
  return round;
}

}  // namespace

Replayer::Replayer(Backend& backend, const Drafter& drafter, const TraceStore& store,
                   int64_t num_drafts)
    : backend_(backend), drafter_(drafter), manifest_(store.manifest()), num_drafts_(num_drafts) {
  for (const int64_t layer : drafter.aux_layer_ids()) {
    const auto& stored = manifest_.aux_layer_ids;
    const auto found = std::find(stored.begin(), stored.end(), layer);
    if (found == stored.end()) {
      Throw(ErrorCode::kInvalidArgument,
            "{}: holds no features of layer {}, which the drafter reads; record traces with this "
            "drafter",
            store.directory().string(), layer);
    }
    columns_.push_back((found - stored.begin()) * manifest_.hidden_size);
  }
  if (num_drafts - 1 > manifest_.tail_tokens) {
    Throw(ErrorCode::kInvalidArgument,
          "{}: records {} tokens behind each answer, {} drafts a round need {}; record them anew",
          store.directory().string(), manifest_.tail_tokens, num_drafts, num_drafts - 1);
  }
}

DraftIds Replayer::Draft(const Trace& trace) {
  if (trace.answer_tokens < 2) return {};
  // The state at position p continues token p + 1; the first round continues answer token 0.
  const int64_t rows = trace.prompt_tokens + trace.answer_tokens - 2;
  if (rows > capacity_) {
    capacity_ = std::max(rows, 2 * capacity_);
    branches_.reset();
    branches_ = std::make_unique<BranchDrafter>(backend_, drafter_, manifest_.dtype, capacity_,
                                                kMaxBranches, num_drafts_);
  }
  std::vector<int64_t> starts;
  for (int64_t p = trace.prompt_tokens - 1; p < rows; ++p) starts.push_back(p);
  const auto tokens = std::span(trace.tokens).first(static_cast<size_t>(rows + 1));
  return branches_->Draft(tokens, Features(trace, rows), starts, num_drafts_);
}

// The drafter's aux layers of the stored rows, in backend memory.
Tensor Replayer::Features(const Trace& trace, int64_t rows) {
  const int64_t element = SizeOf(manifest_.dtype);
  const auto stored_bytes = static_cast<size_t>(manifest_.feature_size() * element);
  const auto chunk_bytes = static_cast<size_t>(manifest_.hidden_size * element);
  const int64_t total = rows * drafter_.feature_size() * element;
  host_features_.resize(static_cast<size_t>(total));
  std::byte* to = host_features_.data();
  for (int64_t row = 0; row < rows; ++row) {
    const std::byte* from = trace.features.data() + static_cast<size_t>(row) * stored_bytes;
    for (const int64_t column : columns_) {
      std::memcpy(to, from + column * element, chunk_bytes);
      to += chunk_bytes;
    }
  }
  if (total > features_bytes_) {
    features_ = backend_.Allocate(total);
    features_bytes_ = total;
  }
  backend_.Upload(host_features_.data(), total, features_.get());
  const int64_t cols = drafter_.feature_size();
  return {features_.get(), manifest_.dtype, rows, cols, cols};
}

std::vector<Round> WalkRounds(std::span<const int32_t> continuation, const DraftIds& drafts,
                              int64_t k) {
  std::vector<Round> rounds;
  for (size_t start = 0; start < drafts.size();) {
    rounds.push_back(MakeRound(continuation, drafts, start, k));
    start += static_cast<size_t>(rounds.back().accepted) + 1;
  }
  return rounds;
}

std::vector<Round> EveryPosition(std::span<const int32_t> continuation, const DraftIds& drafts,
                                 int64_t k) {
  std::vector<Round> rounds;
  for (size_t start = 0; start < drafts.size(); ++start) {
    rounds.push_back(MakeRound(continuation, drafts, start, k));
  }
  return rounds;
}

}  // namespace talon

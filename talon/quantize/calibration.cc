#include "talon/quantize/calibration.h"

#include <algorithm>
#include <numeric>

#include "talon/base/error.h"
#include "talon/base/progress.h"
#include "talon/engine/branch_drafter.h"
#include "talon/engine/feature_extractor.h"

namespace talon {
namespace {

constexpr int64_t kMaxBranches = 64;

// Sorts what it sees by linear and step.
class RangeObserver : public LinearObserver, public StepListener {
 public:
  RangeObserver(Backend& backend, CalibrationResult& result) : backend_(backend), result_(result) {}

  void BeginStep(int64_t step) override { step_ = static_cast<size_t>(step); }

  void Observe(std::string_view linear, const Tensor& input) override {
    std::vector<ActivationRange>& steps = result_.ranges[std::string(linear)];
    if (steps.size() <= step_) steps.resize(step_ + 1);
    steps[step_].Add(ToHost(input), linear);
  }

 private:
  Tensor ToHost(const Tensor& input) {
    const int64_t bytes = input.rows * input.row_stride * SizeOf(input.dtype);
    host_.resize(static_cast<size_t>(bytes));
    // The last row of a column slice ends before its stride does.
    const int64_t used_bytes =
        ((input.rows - 1) * input.row_stride + input.cols) * SizeOf(input.dtype);
    backend_.Download(input.data, used_bytes, host_.data());
    Tensor host = input;
    host.data = host_.data();
    return host;
  }

  Backend& backend_;
  CalibrationResult& result_;
  size_t step_ = 0;
  std::vector<std::byte> host_;
};

// The tokens used of a conversation; counts it in `result`.
std::span<const int32_t> Take(const std::vector<int32_t>& conversation, int64_t seq_length,
                              CalibrationResult& result) {
  const auto size = static_cast<int64_t>(conversation.size());
  const int64_t used = std::min(size, seq_length);
  ++result.num_conversations;
  if (used < size) ++result.num_truncated;
  result.num_tokens += used;
  return {conversation.data(), static_cast<size_t>(used)};
}

void CheckReached(const CalibrationResult& result) {
  if (result.ranges.empty()) {
    Throw(ErrorCode::kDataLoss,
          "calibration reached no linear: the conversations hold no text of two tokens or more");
  }
  for (const auto& [linear, steps] : result.ranges) {
    const bool reached = std::any_of(steps.begin(), steps.end(),
                                     [](const ActivationRange& range) { return !range.empty(); });
    if (!reached) Throw(ErrorCode::kDataLoss, "calibration never reached {}", linear);
  }
}

int64_t LongestUsed(std::span<const std::vector<int32_t>> conversations, int64_t seq_length) {
  int64_t longest = 1;
  for (const auto& conversation : conversations) {
    longest = std::max(longest, static_cast<int64_t>(conversation.size()));
  }
  return std::min(longest, seq_length);
}

}  // namespace

std::map<std::string, float> CalibrationResult::InputAmax() const {
  std::map<std::string, float> amax;
  for (const auto& [linear, steps] : ranges) {
    float& largest = amax[linear];
    for (const ActivationRange& range : steps) largest = std::max(largest, range.amax());
  }
  return amax;
}

CalibrationResult CalibrateDrafter(const GemmaModel& verifier, Eagle3Drafter& drafter,
                                   std::span<const std::vector<int32_t>> conversations,
                                   const CalibrationOptions& options) {
  CalibrationResult result;
  Backend& backend = verifier.backend();
  const int64_t positions = LongestUsed(conversations, options.seq_length);
  const auto ids = drafter.aux_layer_ids();
  FeatureExtractor extractor(verifier, {ids.begin(), ids.end()}, positions);
  BranchDrafter branches(backend, drafter, verifier.options().dtype, positions, kMaxBranches,
                         options.self_fed_steps + 1);
  RangeObserver observer(backend, result);
  drafter.SetObserver(&observer);
  branches.SetStepListener(&observer);
  Progress progress("calibrating", static_cast<int64_t>(conversations.size()), "conversations");
  for (const auto& conversation : conversations) {
    const std::span<const int32_t> tokens = Take(conversation, options.seq_length, result);
    const auto n = static_cast<int64_t>(tokens.size()) - 1;
    if (n >= 1) {
      const Tensor features = extractor.Run(tokens).Rows(0, n);
      std::vector<int64_t> starts(options.self_fed_steps > 0 ? static_cast<size_t>(n) : 0);
      std::iota(starts.begin(), starts.end(), 0);
      // The j-th self-fed step reads the j-th draft, so the last draft is not needed.
      branches.Draft(tokens, features, starts, options.self_fed_steps + 1);
    }
    progress.Advance();
  }
  drafter.SetObserver(nullptr);
  CheckReached(result);
  return result;
}

CalibrationResult CalibrateVerifier(const GemmaModel& verifier,
                                    std::span<const std::vector<int32_t>> conversations,
                                    const CalibrationOptions& options) {
  CalibrationResult result;
  FeatureExtractor extractor(verifier, {}, LongestUsed(conversations, options.seq_length));
  RangeObserver observer(verifier.backend(), result);
  Progress progress("calibrating", static_cast<int64_t>(conversations.size()), "conversations");
  for (const auto& conversation : conversations) {
    const std::span<const int32_t> tokens = Take(conversation, options.seq_length, result);
    if (!tokens.empty()) extractor.Run(tokens, &observer);
    progress.Advance();
  }
  CheckReached(result);
  return result;
}

std::string CalibrationTable(const CalibrationResult& result) {
  std::string text = fmt::format("{:<28} {:>8} {:>12} {:>10} {:>26}\n", "linear input", "step",
                                 "amax", "x step 0", "clipped by step 0's range");
  for (const auto& [linear, steps] : result.ranges) {
    const float first = steps[0].amax();
    for (size_t step = 0; step < steps.size(); ++step) {
      if (steps[step].empty()) continue;
      const float amax = steps[step].amax();
      text += fmt::format("{:<28} {:>8} {:>12g} {:>10.3f} {:>24.4f} %\n", step == 0 ? linear : "",
                          step == 0 ? "first" : fmt::format("self {}", step), amax,
                          first > 0 ? amax / first : 0.0f, 100.0 * steps[step].ShareAbove(first));
    }
  }
  return text;
}

}  // namespace talon

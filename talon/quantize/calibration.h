// Realistic calibration: the verifier reads conversations, its aux hidden states and the tokens go
// through the drafter - first pass and self-fed draft steps alike - and the range of every
// quantized linear's input is recorded. With 0 self-fed steps this is ModelOpt's max calibration.
// Source: specs/nvfp4.md 1.9.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "talon/model/eagle3.h"
#include "talon/model/gemma.h"
#include "talon/quantize/activation_range.h"

namespace talon {

struct CalibrationOptions {
  int64_t seq_length = 2048;  // longer conversations are cut at the end
  int64_t self_fed_steps = 4;
};

struct CalibrationResult {
  int64_t num_conversations = 0;
  int64_t num_truncated = 0;
  int64_t num_tokens = 0;
  // Per linear (module name as in the checkpoint), per step: 0 is the first pass.
  std::map<std::string, std::vector<ActivationRange>> ranges;

  // Largest magnitude over all steps, by module name.
  std::map<std::string, float> InputAmax() const;
};

// `conversations`: token ids of rendered chats. Throws kDataLoss when a linear was never reached or
// an input is not finite.
CalibrationResult CalibrateDrafter(const GemmaModel& verifier, Eagle3Drafter& drafter,
                                   std::span<const std::vector<int32_t>> conversations,
                                   const CalibrationOptions& options);

// The same for the verifier's own linears (no self-fed steps).
CalibrationResult CalibrateVerifier(const GemmaModel& verifier,
                                    std::span<const std::vector<int32_t>> conversations,
                                    const CalibrationOptions& options);

// Range and share of clipped blocks by linear and step, as a table: what the calibrated range clips
// (nothing by construction) and what a first-pass-only range would clip.
std::string CalibrationTable(const CalibrationResult& result);

}  // namespace talon

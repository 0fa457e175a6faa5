#include "apps/talon/input_amax.h"

#include <utility>
#include <vector>

#include "talon/base/error.h"
#include "talon/base/hash.h"
#include "talon/quantize/calibration.h"
#include "talon/text/dataset.h"

namespace talon {
namespace {

std::vector<std::vector<int32_t>> EncodeConversations(const QuantizeOptions& options,
                                                      const Session& session) {
  if (!session.chat_format) {
    Throw(ErrorCode::kInvalidArgument,
          "{}: has no chat template (a base model?); give --chat-format to calibrate in",
          session.verifier.directory.string());
  }
  ChatOptions chat;
  chat.add_generation_prompt = false;
  std::vector<std::vector<int32_t>> encoded;
  for (const Conversation& conversation :
       ReadConversations(options.calibration_file, static_cast<size_t>(options.num_samples))) {
    const std::string text = RenderChat(*session.chat_format, conversation.messages, chat);
    encoded.push_back(EncodePrompt(*session.tokenizer, text));
  }
  return encoded;
}

// By linear, one entry a step: the range, and the share of its blocks beyond the first pass's
// range.
Json RangesJson(const CalibrationResult& result) {
  Json ranges = Json::object();
  for (const auto& [linear, steps] : result.ranges) {
    Json& list = ranges[linear] = Json::array();
    for (size_t step = 0; step < steps.size(); ++step) {
      if (steps[step].empty()) continue;
      list.push_back({{"step", step},
                      {"amax", steps[step].amax()},
                      {"clipped_by_first_pass_range", steps[step].ShareAbove(steps[0].amax())}});
    }
  }
  return ranges;
}

Json RecordJson(const QuantizeOptions& options, const Session& session,
                const CalibrationResult& result, bool is_drafter) {
  Json record = Json::object();
  record["data"] = options.calibration_file;
  record["data_sha256"] = Sha256Hex(ReadTextFile(options.calibration_file));
  record["chat_format"] = Name(*session.chat_format);
  record["conversations"] = result.num_conversations;
  record["truncated"] = result.num_truncated;
  record["tokens"] = result.num_tokens;
  record["seq_length"] = options.seq_length;
  if (is_drafter) record["self_fed_steps"] = options.self_fed_steps;
  record["backend"] = session.backend->Description();
  record["dtype"] = options.session.dtype;
  record["ranges"] = RangesJson(result);
  return record;
}

InputAmaxSource Calibrate(const QuantizeOptions& options, const ModelFiles& source) {
  const bool is_drafter = source.layout.is_drafter();
  SessionFlags flags = options.session;
  if (!is_drafter) flags.verifier = options.model;
  const Session session = OpenSession(flags);
  const std::vector<std::vector<int32_t>> conversations = EncodeConversations(options, session);
  const CalibrationOptions calibration = {options.seq_length, options.self_fed_steps};
  CalibrationResult result;
  if (is_drafter) {
    const LoadedDrafter drafter = session.OpenDrafter(options.model);
    result = CalibrateDrafter(*session.verifier.model, *drafter.model, conversations, calibration);
  } else {
    result = CalibrateVerifier(*session.verifier.model, conversations, calibration);
  }
  InputAmaxSource found;
  found.amax = result.InputAmax();
  found.record = RecordJson(options, session, result, is_drafter);
  found.text = fmt::format("calibrated on {} conversations, {} tokens, {} truncated to {}\n\n{}",
                           result.num_conversations, result.num_tokens, result.num_truncated,
                           options.seq_length, CalibrationTable(result));
  return found;
}

}  // namespace

void RequireAmaxFlags(const QuantizeOptions& options, const Recipe& recipe) {
  const bool has_file = !options.amax_file.empty();
  const bool has_data = !options.calibration_file.empty();
  if (has_file && has_data) {
    Throw(ErrorCode::kInvalidArgument,
          "--amax and --calibration exclude each other: give the ranges or measure them");
  }
  if (!recipe.quantize_activations && (has_file || has_data)) {
    Throw(ErrorCode::kInvalidArgument,
          "{}: recipe {} leaves activations alone; drop the flag, or give --recipe max",
          has_file ? "--amax" : "--calibration", recipe.name());
  }
  if (recipe.quantize_activations && !has_file && !has_data && !options.dry_run) {
    Throw(ErrorCode::kInvalidArgument,
          "--recipe {} quantizes activations and needs their ranges: give --calibration FILE.jsonl "
          "or --amax FILE, or --recipe w4a16 for weights only",
          recipe.name());
  }
}

InputAmaxSource ObtainInputAmax(const QuantizeOptions& options, const Recipe& recipe,
                                const ModelFiles& source) {
  if (!recipe.quantize_activations) return {};
  if (options.amax_file.empty()) return Calibrate(options, source);
  InputAmaxSource found;
  found.amax = ReadAmaxFile(options.amax_file);
  found.record = {{"amax_file", options.amax_file},
                  {"amax_sha256", Sha256Hex(ReadTextFile(options.amax_file))}};
  return found;
}

}  // namespace talon

#include "talon/checkpoint/rope_config.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace talon {
namespace {

// Nearly every key of a rope object changes the frequencies, so unknown ones are refused.
constexpr std::array<std::string_view, 6> kRopeKeys = {
    "rope_type",
    "type",
    "rope_theta",
    "partial_rotary_factor",
    "factor",
    "original_max_position_embeddings",  // no effect on the types below
};

// One rope object: `rope_parameters` of one layer kind, or a legacy `rope_scaling`.
RopeConfig ParseRopeObject(const ConfigReader& rope, double default_theta) {
  for (const auto& [key, value] : rope.json().items()) {
    const bool known = std::find(kRopeKeys.begin(), kRopeKeys.end(), key) != kRopeKeys.end();
    if (!known && !value.is_null()) rope.Unsupported(key, "Talon does not know this rope setting");
  }
  const char* type_key = rope.Has("rope_type") ? "rope_type" : "type";
  const std::string type = rope.StringOr(type_key, "default");
  RopeConfig config;
  config.theta = rope.PositiveNumberOr("rope_theta", default_theta);
  const double partial = rope.PositiveNumberOr("partial_rotary_factor", 1.0);
  if (type == "proportional") {
    if (partial > 1.0) rope.Unsupported("partial_rotary_factor", "expected at most 1");
    config.partial_rotary_factor = partial;
    config.factor = rope.PositiveNumberOr("factor", 1.0);
  } else if (type == "linear" || type == "default") {
    if (partial != 1.0) {
      rope.Unsupported("partial_rotary_factor",
                       "partial rotation is supported for the rope type 'proportional' only");
    }
    if (type == "linear") config.factor = rope.PositiveNumber("factor");
  } else {
    rope.Unsupported(type_key, "supported rope types are default, linear and proportional");
  }
  return config;
}

// A legacy key that stands beside `rope_parameters` must say the same.
void CheckLegacyAgrees(const ConfigReader& config, const std::string& key, double expected) {
  if (config.PositiveNumberOr(key, expected) != expected) {
    Throw(ErrorCode::kDataLoss, "{}: {}, but 'rope_parameters' says {}; remove one of them",
          config.Where(key), config.PositiveNumber(key), expected);
  }
}

}  // namespace

void ParseGemmaRope(const ConfigReader& config, GemmaFamily family, RopeConfig* sliding,
                    RopeConfig* full) {
  constexpr double kSlidingTheta = 10000.0;
  constexpr double kFullTheta = 1000000.0;
  if (config.Has("rope_parameters")) {
    const ConfigReader rope = config.Object("rope_parameters");
    *sliding = ParseRopeObject(rope.Object("sliding_attention"), kSlidingTheta);
    *full = ParseRopeObject(rope.Object("full_attention"), kFullTheta);
    CheckLegacyAgrees(config, "rope_theta", full->theta);
    CheckLegacyAgrees(config, "rope_local_base_freq", sliding->theta);
    return;
  }
  if (family == GemmaFamily::kGemma4) {
    *sliding = {.theta = kSlidingTheta};
    *full = {.theta = kFullTheta, .partial_rotary_factor = 0.25};
    return;
  }
  if (config.Has("rope_scaling")) *full = ParseRopeObject(config.Object("rope_scaling"), 0.0);
  full->theta = config.PositiveNumberOr("rope_theta", kFullTheta);
  sliding->theta = config.PositiveNumberOr("rope_local_base_freq", kSlidingTheta);
}

RopeConfig ParseLlamaRope(const ConfigReader& config) {
  constexpr double kTheta = 10000.0;
  if (config.Has("rope_parameters")) {
    const RopeConfig rope = ParseRopeObject(config.Object("rope_parameters"), kTheta);
    CheckLegacyAgrees(config, "rope_theta", rope.theta);
    return rope;
  }
  RopeConfig rope;
  if (config.Has("rope_scaling")) rope = ParseRopeObject(config.Object("rope_scaling"), kTheta);
  rope.theta = config.PositiveNumberOr("rope_theta", kTheta);
  return rope;
}

}  // namespace talon

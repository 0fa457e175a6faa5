// RoPE settings in their several spellings: `rope_parameters` (per layer kind or flat) of newer
// files, `rope_theta`, `rope_local_base_freq` and `rope_scaling` of older ones.
#pragma once

#include "talon/checkpoint/config_reader.h"
#include "talon/checkpoint/model_config.h"

namespace talon {

// Both layer kinds of a Gemma text config, with its family's defaults.
void ParseGemmaRope(const ConfigReader& config, GemmaFamily family, RopeConfig* sliding,
                    RopeConfig* full);

// A Llama-style config: one setting, theta 10000 by default.
RopeConfig ParseLlamaRope(const ConfigReader& config);

}  // namespace talon

// Config fields that change a model's mathematics and for which Talon supports one value only. A
// file with another value is refused by the field's name; keys outside these lists and outside what
// the parsers read are taken as harmless (training, caching, bookkeeping).
#pragma once

#include "talon/checkpoint/config_reader.h"

namespace talon {

// Throws kUnsupported naming the first field with another value.
void CheckGemmaFixedFields(const ConfigReader& config);
void CheckDrafterFixedFields(const ConfigReader& config);
// The `eagle_config` object of ModelOpt's drafters.
void CheckEagleConfigFields(const ConfigReader& config);

}  // namespace talon

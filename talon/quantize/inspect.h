// What a checkpoint is: architecture, bytes, quantization.
#pragma once

#include <string>

#include "talon/base/json.h"
#include "talon/quantize/model_files.h"

namespace talon {

// For people: linears of the same kind in all layers share a line.
std::string InspectText(const ModelFiles& files);

// For programs: every quantized linear with its scales.
Json InspectJson(const ModelFiles& files);

}  // namespace talon

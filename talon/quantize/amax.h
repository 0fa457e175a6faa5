// The largest input magnitude of each linear, by module name ("layers.0.mlp.up_proj"): measured by
// calibration, or read from a file.
#pragma once

#include <filesystem>
#include <map>
#include <string>

namespace talon {

using InputAmax = std::map<std::string, float>;

// Reads {"fc": 31.875, ...}, or the form that records ModelOpt's quantizers:
// {"calibrated": {"fc.input_quantizer": {"decimal": "31.875", ...} or null, ...}}, of which only
// input quantizers with a value are taken. Throws kDataLoss naming file and key for anything else,
// and for a value that is not finite and above zero.
InputAmax ReadAmaxFile(const std::filesystem::path& path);

}  // namespace talon

#include "apps/talon/input_amax.h"

#include "talon/base/error.h"
#include "talon/base/hash.h"

namespace talon {

void RequireAmaxFlags(const QuantizeOptions& options, const Recipe& recipe) {
  if (!recipe.quantize_activations) {
    if (options.amax_file.empty()) return;
    Throw(ErrorCode::kInvalidArgument,
          "--amax: recipe {} leaves activations alone; drop the flag, or give --recipe max",
          recipe.name());
  }
  if (options.amax_file.empty() && !options.dry_run) {
    Throw(ErrorCode::kInvalidArgument,
          "--recipe {} quantizes activations and needs their ranges: give --amax FILE, or --recipe "
          "w4a16 for weights only",
          recipe.name());
  }
}

InputAmaxSource ObtainInputAmax(const QuantizeOptions& options, const Recipe& recipe) {
  InputAmaxSource source;
  if (!recipe.quantize_activations) return source;
  source.amax = ReadAmaxFile(options.amax_file);
  source.record = {{"amax_file", options.amax_file},
                   {"amax_sha256", Sha256Hex(ReadTextFile(options.amax_file))}};
  return source;
}

}  // namespace talon

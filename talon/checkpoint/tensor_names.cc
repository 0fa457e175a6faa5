#include "talon/checkpoint/tensor_names.h"

#include "talon/base/error.h"

namespace talon {
namespace {

bool HasPrefix(const TensorStore& store, const std::string& prefix) {
  const auto found = store.tensors().lower_bound(prefix);
  return found != store.tensors().end() && found->first.starts_with(prefix);
}

}  // namespace

std::string GemmaTensorPrefix(const TensorStore& store) {
  for (const char* prefix : {"model.language_model.", "model.", "language_model.model."}) {
    // A quantized table has other suffixes than ".weight".
    if (HasPrefix(store, std::string(prefix) + "embed_tokens.")) return prefix;
  }
  Throw(
      ErrorCode::kNotFound,
      "{}: no embed_tokens under 'model.', 'model.language_model.' or 'language_model.model.'; is "
      "this a Gemma checkpoint?",
      store.path().string());
}

std::string DrafterLayerPrefix(const TensorStore& store) {
  const bool current = HasPrefix(store, "layers.0.");
  const bool older = HasPrefix(store, "midlayer.");
  if (current && older) {
    Throw(ErrorCode::kDataLoss, "{}: has both 'layers.0.' and 'midlayer.' tensors; expected one",
          store.path().string());
  }
  if (!current && !older) {
    Throw(ErrorCode::kNotFound,
          "{}: no 'layers.0.' and no 'midlayer.' tensors; is this an EAGLE-3 drafter?",
          store.path().string());
  }
  return current ? "layers.0." : "midlayer.";
}

}  // namespace talon

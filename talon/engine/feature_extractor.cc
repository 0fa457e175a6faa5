#include "talon/engine/feature_extractor.h"

#include <algorithm>
#include <utility>

#include "talon/base/error.h"
#include "talon/engine/batch_builder.h"

namespace talon {
namespace {

constexpr int64_t kChunkRows = 512;

}  // namespace

FeatureExtractor::FeatureExtractor(const GemmaModel& verifier, std::vector<int64_t> aux_layer_ids,
                                   int64_t max_positions)
    : verifier_(verifier),
      aux_layer_ids_(std::move(aux_layer_ids)),
      max_positions_(max_positions),
      pool_(verifier, nullptr,
            {KvPool::PagesFor(max_positions), KvPool::PagesFor(max_positions),
             verifier.options().dtype, verifier.options().dtype}),
      arena_(verifier.backend()) {
  pool_.Extend(pages_, max_positions, max_positions);
}

Tensor FeatureExtractor::Run(std::span<const int32_t> tokens, LinearObserver* observer) {
  const auto n = static_cast<int64_t>(tokens.size());
  CheckInternal(n <= max_positions_, "FeatureExtractor: text longer than its cache");
  arena_.Reset();
  const auto columns = static_cast<int64_t>(aux_layer_ids_.size()) * verifier_.config().hidden_size;
  const Tensor features =
      columns == 0 ? Tensor() : arena_.Take(n, columns, verifier_.options().dtype);
  for (int64_t begin = 0; begin < n; begin += kChunkRows) {
    const Arena::Scope scope(arena_);
    const int64_t count = std::min(kChunkRows, n - begin);
    BatchBuilder builder;
    builder.Add(tokens.subspan(static_cast<size_t>(begin), static_cast<size_t>(count)), begin,
                pages_);
    VerifierCapture capture;
    capture.observer = observer;
    if (columns > 0) {
      capture.aux_layer_ids = aux_layer_ids_;
      capture.aux = features.Rows(begin, count);
    }
    verifier_.Forward(builder.Upload(verifier_.backend(), arena_), pool_.verifier_layers(), capture,
                      arena_);
  }
  return features;
}

}  // namespace talon

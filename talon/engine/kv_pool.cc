#include "talon/engine/kv_pool.h"

#include <algorithm>

namespace talon {
namespace {

// All bits set are a NaN in F32, BF16 and E4M3.
void FillWithNan(Backend& backend, const KvLayer& layer) {
  const int64_t bytes =
      layer.num_pages * kKvPageTokens * layer.num_kv_heads * layer.head_dim * SizeOf(layer.dtype);
  const std::vector<uint8_t> nan(static_cast<size_t>(bytes), 0xFF);
  backend.Upload(nan.data(), bytes, layer.keys.get());
  backend.Upload(nan.data(), bytes, layer.values.get());
}

int64_t MissingPages(const std::vector<int32_t>& pages, int64_t positions) {
  return std::max<int64_t>(0, KvPool::PagesFor(positions) - static_cast<int64_t>(pages.size()));
}

}  // namespace

KvPool::KvPool(const GemmaModel& verifier, const Drafter* drafter, const KvPoolOptions& options)
    : backend_(verifier.backend()),
      sliding_(options.sliding_pages),
      global_(options.global_pages),
      poison_(options.poison),
      layer_types_(verifier.config().layer_types) {
  const int64_t extra = poison_ ? 1 : 0;
  verifier_layers_ = verifier.MakeKvLayers(options.sliding_pages + extra,
                                           options.global_pages + extra, options.verifier_dtype);
  if (drafter != nullptr) {
    drafter_layer_ = drafter->MakeKvLayer(options.global_pages + extra, options.drafter_dtype);
  }
  if (!poison_) return;
  for (const KvLayer& layer : verifier_layers_) FillWithNan(backend_, layer);
  if (drafter_layer_) FillWithNan(backend_, *drafter_layer_);
}

int64_t KvPool::SlidingPagesFor(int64_t max_positions, int64_t max_sliding_positions) {
  // One page more than the positions fill: neither end need lie at a page boundary.
  return std::min(PagesFor(max_positions), PagesFor(max_sliding_positions) + 1);
}

bool KvPool::Extend(SequencePages& pages, int64_t num_sliding_positions,
                    int64_t num_global_positions) {
  const int64_t sliding = MissingPages(pages.sliding, num_sliding_positions);
  const int64_t global = MissingPages(pages.global, num_global_positions);
  if (sliding > sliding_.free_pages() || global > global_.free_pages()) return false;
  for (int64_t i = 0; i < sliding; ++i) pages.sliding.push_back(AllocateSliding());
  for (int64_t i = 0; i < global; ++i) pages.global.push_back(AllocateGlobal());
  return true;
}

void KvPool::ReleaseBefore(SequencePages& pages, int64_t first_needed_position) {
  const auto first_needed_page =
      static_cast<size_t>(std::max<int64_t>(0, first_needed_position) / kKvPageTokens);
  const size_t end = std::min(first_needed_page, pages.sliding.size());
  // Pages are given back in order, so the first one already given back ends the walk.
  for (size_t i = end; i-- > 0 && pages.sliding[i] >= 0;) {
    FreeSliding(pages.sliding[i]);
    pages.sliding[i] = -1;
  }
}

void KvPool::Release(SequencePages& pages) {
  for (size_t i = pages.sliding.size(); i-- > 0;) {
    if (pages.sliding[i] >= 0) FreeSliding(pages.sliding[i]);
  }
  for (size_t i = pages.global.size(); i-- > 0;) FreeGlobal(pages.global[i]);
  pages = SequencePages();
}

int32_t KvPool::AllocateSliding() {
  const int32_t page = sliding_.Allocate();
  Poison(AttentionKind::kSliding, page);
  return page;
}

int32_t KvPool::AllocateGlobal() {
  const int32_t page = global_.Allocate();
  Poison(AttentionKind::kFull, page);
  return page;
}

void KvPool::FreeSliding(int32_t page) {
  if (sliding_.Free(page)) Poison(AttentionKind::kSliding, page);
}

void KvPool::FreeGlobal(int32_t page) {
  if (global_.Free(page)) Poison(AttentionKind::kFull, page);
}

void KvPool::Poison(AttentionKind family, int32_t page) {
  if (!poison_) return;
  for (size_t layer = 0; layer < verifier_layers_.size(); ++layer) {
    if (layer_types_[layer] != family) continue;
    KvLayer& kv = verifier_layers_[layer];
    backend_.CopyPage(kv, kv.num_pages - 1, page);
  }
  if (family == AttentionKind::kFull && drafter_layer_) {
    backend_.CopyPage(*drafter_layer_, drafter_layer_->num_pages - 1, page);
  }
}

}  // namespace talon

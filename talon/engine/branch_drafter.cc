#include "talon/engine/branch_drafter.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "talon/base/error.h"
#include "talon/engine/batch_builder.h"

namespace talon {
namespace {

// Rows of one first pass; bounds scratch memory for long texts.
constexpr int64_t kFirstPassRows = 512;

}  // namespace

BranchDrafter::BranchDrafter(Backend& backend, const Drafter& drafter, DType kv_dtype,
                             int64_t max_positions, int64_t max_branches, int64_t max_drafts)
    : backend_(backend),
      drafter_(drafter),
      runner_(backend, drafter),
      max_positions_(max_positions),
      max_branches_(max_branches),
      // The page that holds the start and those the branch grows into.
      branch_pages_(1 + KvPool::PagesFor(max_drafts)),
      arena_(backend) {
  const int64_t text_pages = KvPool::PagesFor(max_positions);
  cache_ = drafter.MakeKvLayer(text_pages + max_branches * branch_pages_, kv_dtype);
  for (int64_t page = 0; page < text_pages; ++page) {
    text_pages_.global.push_back(static_cast<int32_t>(page));
  }
}

DraftIds BranchDrafter::Draft(std::span<const int32_t> tokens, const Tensor& features,
                              std::span<const int64_t> starts, int64_t num_drafts) {
  const int64_t n = features.rows;
  CheckInternal(n <= max_positions_ && static_cast<int64_t>(tokens.size()) == n + 1,
                "BranchDrafter: text longer than its cache, or tokens and features disagree");
  arena_.Reset();
  const Tensor states = arena_.Take(n, drafter_.hidden_size(), features.dtype);
  for (int64_t begin = 0; begin < n; begin += kFirstPassRows) {
    const Arena::Scope scope(arena_);
    const int64_t count = std::min(kFirstPassRows, n - begin);
    DraftInput input;
    input.pages = &text_pages_;
    input.first_position = begin;
    input.successors = tokens.subspan(static_cast<size_t>(begin + 1), static_cast<size_t>(count));
    const Tensor chunk =
        runner_.FirstPass({&input, 1}, features.Rows(begin, count), cache_, arena_);
    backend_.Copy(chunk, states.Rows(begin, count));
  }
  DraftIds drafts;
  for (size_t begin = 0; begin < starts.size(); begin += static_cast<size_t>(max_branches_)) {
    const Arena::Scope scope(arena_);
    const size_t count = std::min(static_cast<size_t>(max_branches_), starts.size() - begin);
    DraftIds part = DraftBranches(states, starts.subspan(begin, count), num_drafts);
    std::move(part.begin(), part.end(), std::back_inserter(drafts));
  }
  return drafts;
}

DraftIds BranchDrafter::DraftBranches(const Tensor& states, std::span<const int64_t> starts,
                                      int64_t num_drafts) {
  std::vector<SequencePages> branches(starts.size());
  std::vector<DraftStart> draft_starts;
  std::vector<int32_t> rows;
  const auto first_branch_page = static_cast<int64_t>(text_pages_.global.size());
  for (size_t i = 0; i < starts.size(); ++i) {
    const int64_t start = starts[i];
    const int64_t own_page = start / kKvPageTokens;  // holds the start; the branch writes behind it
    const int64_t base = first_branch_page + static_cast<int64_t>(i) * branch_pages_;
    std::vector<int32_t>& pages = branches[i].global;
    pages.assign(text_pages_.global.begin(), text_pages_.global.begin() + own_page);
    for (int64_t page = 0; page < branch_pages_; ++page) {
      pages.push_back(static_cast<int32_t>(base + page));
    }
    if (num_drafts > 1) {
      backend_.CopyPage(cache_, text_pages_.global[static_cast<size_t>(own_page)], base);
    }
    draft_starts.push_back({&branches[i], start, num_drafts});
    rows.push_back(static_cast<int32_t>(start));
  }
  const auto count = static_cast<int64_t>(starts.size());
  const Tensor from = arena_.Take(count, states.cols, states.dtype);
  backend_.GatherRows(states, UploadArray<int32_t>(backend_, arena_, rows), from);
  return runner_.Continue(from, draft_starts, cache_, arena_);
}

}  // namespace talon

// Figures of a load, under the names that `vllm bench serve` prints and saves.
// Source: vLLM 0.32 benchmarks/serve.py.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "talon/bench/load_client.h"

namespace talon {

// In milliseconds; percentiles are interpolated linearly, as numpy's are.
struct Distribution {
  double mean_ms = 0.0;
  double median_ms = 0.0;
  double std_ms = 0.0;
  std::vector<double> percentiles_ms;  // of those asked for
};

// The server's drafts during the load, from its metrics.
struct DraftFigures {
  double drafts = 0.0;
  double draft_tokens = 0.0;
  double accepted_tokens = 0.0;
  std::vector<double> accepted_per_pos;
};

struct LoadFigures {
  double duration_s = 0.0;
  int64_t completed = 0;
  int64_t failed = 0;
  int64_t input_tokens = 0;
  int64_t output_tokens = 0;
  int64_t max_concurrent_requests = 0;   // that were in flight in one second
  double max_output_tokens_per_s = 0.0;  // pieces that came in one second
  std::vector<double> percentiles;       // 99 and the like
  Distribution ttft;                     // time to first token
  Distribution tpot;                     // time per output token after the first
  Distribution itl;                      // between pieces
  Distribution e2el;                     // whole requests
};

LoadFigures ComputeFigures(const LoadResult& result, const std::vector<double>& percentiles);

// Reads vLLM's speculative counters out of a /metrics page; none when it has none.
std::optional<DraftFigures> ReadDraftFigures(const std::string& metrics);
DraftFigures Difference(const DraftFigures& before, const DraftFigures& after);

// What `vllm bench serve --save-result` writes about the run itself; `detailed` adds the values of
// every request.
Json FiguresJson(const LoadFigures& figures, const LoadResult& result, bool detailed);
Json DraftFiguresJson(const DraftFigures& figures);
std::string FormatFigures(const LoadFigures& figures, const std::optional<DraftFigures>& drafts);

}  // namespace talon

// The speculative traces of tests/data (eagle3-tiny/traces.json and vllm-eagle3/traces_*.json):
// prompts, greedy answers and, round by round, the drafts and how many of them were accepted.
#pragma once

#include <cstdint>
#include <filesystem>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace talon::test {

struct SpeculativeTrace {
  std::string id;        // empty in eagle3-tiny
  std::string category;  // empty in eagle3-tiny
  std::vector<int32_t> prompt_ids;
  std::vector<int32_t> output_ids;  // ends with the stop token or at max_tokens
  // Round r starts after output token start(r) = r + sum(accepted before r). The last round may
  // accept beyond the end of output_ids, since stop handling comes after counting.
  std::vector<std::vector<int32_t>> drafts_per_round;  // [rounds][k]
  std::vector<int32_t> accepted_per_round;             // [rounds]
};

std::vector<SpeculativeTrace> ReadTraceFixture(const std::filesystem::path& path);

// What CompareTraces found. A round of `expected` is equal when `actual` has a round that starts at
// the same output token with the same drafts and the same accepted count.
struct TraceComparison {
  int64_t rounds = 0;  // of `expected`
  int64_t equal_rounds = 0;
  int64_t traces = 0;
  int64_t equal_traces = 0;  // same text and all rounds equal
  int64_t equal_texts = 0;
  std::vector<std::string> differences;               // the first difference of each unequal trace
  std::set<std::pair<size_t, int64_t>> equal_starts;  // trace and output token of equal rounds
};

// `actual[i]` answers the prompt of `expected[i]`.
TraceComparison CompareTraces(std::span<const SpeculativeTrace> expected,
                              std::span<const SpeculativeTrace> actual);

}  // namespace talon::test

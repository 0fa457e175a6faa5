#include "tests/support/trace_fixture.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>

#include "talon/base/json.h"

namespace talon::test {
namespace {

struct Round {
  std::vector<int32_t> drafts;  // [k]
  int32_t accepted = 0;
  bool operator==(const Round&) const = default;
};

// Rounds by the output token they start after.
std::map<int64_t, Round> RoundsByStart(const SpeculativeTrace& trace) {
  std::map<int64_t, Round> rounds;
  int64_t start = 0;
  for (size_t r = 0; r < trace.accepted_per_round.size(); ++r) {
    rounds[start] = {trace.drafts_per_round.at(r), trace.accepted_per_round[r]};
    start += 1 + trace.accepted_per_round[r];
  }
  return rounds;
}

std::string Text(const Round& round) {
  return fmt::format("drafts [{}], accepted {}", fmt::join(round.drafts, " "), round.accepted);
}

std::string DescribeText(const SpeculativeTrace& expected, const SpeculativeTrace& actual) {
  size_t i = 0;
  while (i < expected.output_ids.size() && i < actual.output_ids.size() &&
         expected.output_ids[i] == actual.output_ids[i]) {
    ++i;
  }
  return fmt::format("text differs at output token {} (lengths {} and {})", i,
                     expected.output_ids.size(), actual.output_ids.size());
}

}  // namespace

std::vector<SpeculativeTrace> ReadTraceFixture(const std::filesystem::path& path) {
  std::vector<SpeculativeTrace> traces;
  const Json file = ReadJsonFile(path);
  for (const Json& entry : file.at("traces")) {
    SpeculativeTrace trace;
    trace.id = entry.value("id", "");
    trace.category = entry.value("category", "");
    entry.at("prompt_ids").get_to(trace.prompt_ids);
    entry.at("output_ids").get_to(trace.output_ids);
    entry.at("drafts_per_round").get_to(trace.drafts_per_round);
    entry.at("accepted_per_round").get_to(trace.accepted_per_round);
    traces.push_back(std::move(trace));
  }
  return traces;
}

TraceComparison CompareTraces(std::span<const SpeculativeTrace> expected,
                              std::span<const SpeculativeTrace> actual) {
  TraceComparison result;
  result.traces = static_cast<int64_t>(expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const auto wanted = RoundsByStart(expected[i]);
    const auto found = i < actual.size() ? RoundsByStart(actual[i]) : std::map<int64_t, Round>();
    std::string difference;
    int64_t equal_rounds = 0;
    for (const auto& [start, round] : wanted) {
      const auto other = found.find(start);
      if (other != found.end() && other->second == round) {
        ++equal_rounds;
        result.equal_starts.emplace(i, start);
      } else if (difference.empty()) {
        difference =
            fmt::format("after output token {}: {}; expected {}", start,
                        other == found.end() ? "no round" : Text(other->second), Text(round));
      }
    }
    if (difference.empty() && wanted.size() != found.size()) {
      difference = "more rounds than expected";
    }
    const bool same_text = i < actual.size() && expected[i].output_ids == actual[i].output_ids;
    if (!same_text) {
      difference = i < actual.size() ? DescribeText(expected[i], actual[i]) : "missing";
    }
    result.rounds += static_cast<int64_t>(wanted.size());
    result.equal_rounds += equal_rounds;
    result.equal_texts += same_text ? 1 : 0;
    if (difference.empty()) {
      ++result.equal_traces;
    } else {
      result.differences.push_back(fmt::format("trace {} {}: {}", i, expected[i].id, difference));
    }
  }
  return result;
}

}  // namespace talon::test

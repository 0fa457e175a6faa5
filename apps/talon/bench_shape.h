// `talon bench --shape NAME`: times of a random model in real shapes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace talon {

struct BenchShapeOptions {
  std::string shape;
  std::string device = "auto";
  int threads = 0;
  std::vector<std::string> only;  // sections; empty: all
  std::vector<int64_t> rows = {1, 2, 4, 8, 16, 32, 64};
  std::vector<int64_t> contexts = {1024, 4096, 16384};
  std::vector<int64_t> batches = {1, 2, 4, 8};
  std::vector<int64_t> prefill_tokens = {512};
  std::vector<std::string> acceptance = {"0.72,0.52,0.35"};
  int64_t context = 1024;
  int64_t rounds = 30;
};

int RunBenchShape(const BenchShapeOptions& options);

}  // namespace talon

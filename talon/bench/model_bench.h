// Whole steps: decoding and verification, drafting, speculative rounds, prefill.
#pragma once

#include <cstdint>
#include <vector>

#include "talon/bench/bench_models.h"
#include "talon/bench/bench_report.h"

namespace talon {

struct ModelBenchOptions {
  int64_t context = 1024;                       // positions before the measured rows
  std::vector<int64_t> batches = {1, 2, 4, 8};  // sequences
  // The chance that at least i drafts are accepted, i = 1, 2, ...; one table each.
  std::vector<std::vector<double>> acceptance;
  int64_t rounds = 30;
  std::vector<int64_t> prefill_tokens = {512};
};

class ModelBench {
 public:
  ModelBench(const BenchReport& report, const BenchShape& shape, const ModelBenchOptions& options);

  void DecodeSteps();
  void DraftSteps();
  void Rounds();
  void Prefill();

 private:
  struct RoundResult {
    double seconds = 0.0;  // of one round, the median
    double tokens = 0.0;   // of one round and sequence, the mean
  };
  RoundResult TimeRounds(const BenchDrafter* drafter, int64_t sequences, int64_t drafts,
                         const std::vector<double>& acceptance);
  void RoundTable(const BenchDrafter& drafter, const std::vector<double>& acceptance);
  int64_t RoundBytes(const BenchDrafter* drafter, int64_t sequences, int64_t drafts) const;

  const BenchReport& report_;
  Backend& backend_;
  BenchShape shape_;
  ModelBenchOptions options_;
  BenchModels models_;
  int64_t pages_ = 0;  // of a sequence
  KvLayers verifier_cache_;
  KvLayer drafter_cache_;
};

}  // namespace talon

// A verifier and its drafters in three formats, of random weights.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "talon/bench/bench_shapes.h"
#include "talon/bench/random_source.h"
#include "talon/model/eagle3.h"
#include "talon/model/gemma.h"

namespace talon {

struct BenchDrafter {
  std::string name;  // "BF16", "NVFP4", "NVFP4 with lm_head"
  std::unique_ptr<Eagle3Drafter> model;
  int64_t first_pass_bytes = 0;  // weights that the first pass reads
  int64_t step_bytes = 0;        // without fc, which later steps do not use
};

struct BenchModels {
  std::unique_ptr<GemmaModel> verifier;  // all linears NVFP4, embedding and head BF16
  int64_t verifier_bytes = 0;            // weights that one step reads, the head included
  std::vector<BenchDrafter> drafters;
};

BenchModels MakeBenchModels(Backend& backend, const BenchShape& shape);

// Bytes of keys and values that one token adds to a layer in BF16.
int64_t KvTokenBytes(const AttentionConfig& attention);
// Keys and values that one row at the end of `context` reads, over all layers.
int64_t KvReadBytes(const GemmaConfig& config, int64_t context);

}  // namespace talon

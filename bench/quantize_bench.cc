// Speed of the weight quantizer in GB/s of BF16 weights read, one matrix of the 31B drafter's size
// class.
#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "talon/numeric/bf16.h"
#include "talon/numeric/nvfp4.h"
#include "talon/quantize/weight_quantizer.h"

namespace talon {
namespace {

std::vector<uint16_t> RandomWeights(size_t count) {
  std::mt19937 generator(1);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  std::vector<uint16_t> weights(count);
  for (uint16_t& weight : weights) weight = FloatToBf16(normal(generator));
  return weights;
}

constexpr size_t kWeights = size_t{5376} * 2048;
constexpr float kTensorScale = 0.1f / kNvfp4Range;

void BM_ComputeBlockScales(benchmark::State& state) {
  const std::vector<uint16_t> weights = RandomWeights(kWeights);
  std::vector<uint8_t> scales(kWeights / 16);
  ThreadPool pool;
  for (auto _ : state) ComputeBlockScales(pool, weights, kTensorScale, scales);
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(kWeights) * 2);
}
BENCHMARK(BM_ComputeBlockScales)->UseRealTime();

void BM_PackWeights(benchmark::State& state) {
  const std::vector<uint16_t> weights = RandomWeights(kWeights);
  std::vector<uint8_t> scales(kWeights / 16);
  std::vector<uint8_t> packed(kWeights / 2);
  ThreadPool pool;
  ComputeBlockScales(pool, weights, kTensorScale, scales);
  for (auto _ : state) PackWeights(pool, weights, kTensorScale, scales, packed);
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(kWeights) * 2);
}
BENCHMARK(BM_PackWeights)->UseRealTime();

void BM_ScalarDefinition(benchmark::State& state) {
  const std::vector<uint16_t> weights = RandomWeights(kWeights);
  std::vector<uint8_t> scales(kWeights / 16);
  std::vector<uint8_t> packed(kWeights / 2);
  for (auto _ : state) QuantizeNvfp4(weights, kTensorScale, packed.data(), scales.data());
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(kWeights) * 2);
}
BENCHMARK(BM_ScalarDefinition);

}  // namespace
}  // namespace talon

BENCHMARK_MAIN();
